export interface OvfFacts {
  /** Name of the virtual machine, and of the files of the package. */
  readonly name: string;
  readonly title: string;
  readonly version: string;
  /** As IMAGE_DIGEST has it: "sha256:" and 64 hex digits. */
  readonly imageDigest: string;
  readonly rootHash: string;
  readonly disk: { readonly file: string; readonly bytes: number; readonly capacityBytes: number };
  readonly cpus: number;
  readonly memoryMiB: number;
}

const RASD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData";
const VSSD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData";
const STREAM_OPTIMIZED = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";

const escapes: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" };
const xml = (text: string) => text.replace(/[&<>"']/g, (character) => escapes[character] ?? character);

/** A virtual device: elements of CIM_ResourceAllocationSettingData, which the schema wants in alphabetical order. */
function item(required: boolean, elements: Readonly<Record<string, string | number>>): string {
  const rows = Object.keys(elements)
    .sort()
    .map((name) => `        <rasd:${name}>${xml(String(elements[name]))}</rasd:${name}>`);
  return `      <Item${required ? "" : ' ovf:required="false"'}>\n${rows.join("\n")}\n      </Item>`;
}

/** Numbers of `ResourceType` (DSP1041, CIM_ResourceAllocationSettingData). */
const resource = { other: 1, processor: 3, memory: 4, ethernet: 10, disk: 17, otherStorage: 20 } as const;

function hardware({ cpus, memoryMiB }: OvfFacts): string {
  const items = [
    item(true, { ElementName: `${cpus} CPUs`, InstanceID: 1, ResourceType: resource.processor, VirtualQuantity: cpus }),
    item(true, {
      AllocationUnits: "byte * 2^20",
      ElementName: `${memoryMiB} MiB of memory`,
      InstanceID: 2,
      ResourceType: resource.memory,
      VirtualQuantity: memoryMiB,
    }),
    item(true, {
      Address: 0,
      ElementName: "SATA controller",
      InstanceID: 3,
      ResourceSubType: "vmware.sata.ahci",
      ResourceType: resource.otherStorage,
    }),
    item(true, {
      AddressOnParent: 0,
      ElementName: "disk",
      HostResource: "ovf:/disk/disk1",
      InstanceID: 4,
      Parent: 3,
      ResourceType: resource.disk,
    }),
    item(true, {
      AddressOnParent: 0,
      AutomaticAllocation: "true",
      Connection: "NAT",
      ElementName: "network adapter",
      InstanceID: 5,
      ResourceSubType: "VmxNet3",
      ResourceType: resource.ethernet,
    }),
    // Where a hypervisor can read one out of an OVF (vSphere 7 and later); others get theirs by hand, as the annotation says.
    item(false, {
      AutomaticAllocation: "false",
      ElementName: "TPM 2.0",
      InstanceID: 6,
      ResourceSubType: "vmware.vtpm",
      ResourceType: resource.other,
    }),
  ];
  return items.join("\n");
}

const annotation = `Firmware: UEFI. Add a TPM 2.0 if this machine got none: without it the encrypted state asks for a passphrase at every start. Secure Boot: enrol keys/PK.crt, keys/KEK.crt and keys/db.crt of the release in the firmware's setup mode, then switch Secure Boot on; only then does attestation succeed.`;

const property = (key: string, label: string, value: string) =>
  `      <Property ovf:key="${xml(key)}" ovf:type="string" ovf:userConfigurable="false" ovf:value="${xml(value)}">
        <Label>${xml(label)}</Label>
      </Property>`;

/** An OVF descriptor (DMTF DSP0243, version 1.1: what VMware and VirtualBox read) of one machine with one disk. */
export function ovfDescriptor(facts: OvfFacts): string {
  const { name, title, version, disk } = facts;
  return `<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="${RASD}" xmlns:vssd="${VSSD}" xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References>
    <File ovf:href="${xml(disk.file)}" ovf:id="file1" ovf:size="${disk.bytes}"/>
  </References>
  <DiskSection>
    <Info>Virtual disks</Info>
    <Disk ovf:capacity="${disk.capacityBytes}" ovf:diskId="disk1" ovf:fileRef="file1" ovf:format="${STREAM_OPTIMIZED}"/>
  </DiskSection>
  <NetworkSection>
    <Info>Networks</Info>
    <Network ovf:name="NAT">
      <Description>Network address translation: nothing from outside reaches the machine</Description>
    </Network>
  </NetworkSection>
  <VirtualSystem ovf:id="${xml(name)}">
    <Info>A virtual machine</Info>
    <Name>${xml(name)}</Name>
    <OperatingSystemSection ovf:id="96" vmw:osType="debian12_64Guest">
      <Info>The operating system</Info>
      <Description>Debian_64</Description>
    </OperatingSystemSection>
    <ProductSection>
      <Info>What is installed</Info>
      <Product>${xml(title)}</Product>
      <Version>${xml(version)}</Version>
      <FullVersion>${xml(`${version} ${facts.imageDigest}`)}</FullVersion>
${property("secai.image-digest", "Digest of the disk image", facts.imageDigest)}
${property("secai.root-hash", "Root hash", facts.rootHash)}
    </ProductSection>
    <AnnotationSection>
      <Info>For whoever sets the machine up</Info>
      <Annotation>${xml(annotation)}</Annotation>
    </AnnotationSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware</Info>
      <System>
        <vssd:ElementName>Virtual hardware</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>${xml(name)}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-17</vssd:VirtualSystemType>
      </System>
${hardware(facts)}
      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="efi"/>
      <vmw:Config ovf:required="false" vmw:key="bootOptions.efiSecureBootEnabled" vmw:value="false"/>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
`;
}
