// The watch over GPUs reads the bus, too, so the reader lies in the kit.
export { type FoundDevice, isGpuMaker, readPciDevices } from "@secai/kit/pci-devices";
