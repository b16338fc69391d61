import { BackendError } from "./errors.ts";

/** Sources, build and their place in the names that the compiler writes; the same in every build, so that its bytes are, too. */
export const SOURCES = "/tmp/llama.cpp";
export const BUILD = "/tmp/build";

/** Where Debian's nvidia-cuda-toolkit has the compiler itself; /usr/bin/nvcc is a script. */
const NVCC = "/usr/lib/nvidia-cuda-toolkit/bin/nvcc";

/** Newest host compiler that nvcc 12.4 accepts. */
const GCC = { C: "/usr/bin/gcc-13", CXX: "/usr/bin/g++-13", CUDA_HOST: "/usr/bin/g++-13" } as const;

/** From a backend's folder to the runtime's, where libggml-base.so lies. */
export const RUNPATH = "$ORIGIN/../../runtime";

/**
 * GPUs to compile for, in CMake's words (CUDA_ARCHITECTURES): "75-virtual" is PTX for compute capability 7.5, which the driver compiles for
 * the GPU at hand and for every newer one; "86-real" is machine code for 8.6 only.
 */
const ARCHITECTURE = /^([1-9][0-9]{1,2})([af]?)-(virtual|real)$/;

/** Names of what a GPU's code must be found as in the library: "compute_75" for PTX, "sm_86" for machine code. */
export function codeNames(architectures: readonly string[]): readonly string[] {
  const names = architectures.map((architecture) => {
    const [, number, suffix, kind] = ARCHITECTURE.exec(architecture) ?? [];
    if (number === undefined)
      throw new BackendError("GPU_ARCHITECTURES_DIFFER", { expected: "such as 75-virtual or 86-real", actual: architecture });
    return `${kind === "virtual" ? "compute" : "sm"}_${number}${suffix}`;
  });
  return [...new Set(names)].sort();
}

/** Options of CMake. Nothing is tuned to the machine that builds; nothing but the CUDA backend and what it links with is configured. */
export function cmakeArguments(architectures: readonly string[], compilerCache: boolean): readonly string[] {
  // A fixed path makes equal bytes already; this keeps the sandbox's own folders out of messages.
  const mapped = "-ffile-prefix-map=/tmp/=/usr/src/";
  const launcher = compilerCache ? ["C", "CXX", "CUDA"].map((language) => `-DCMAKE_${language}_COMPILER_LAUNCHER=ccache`) : [];
  // Without symbols: nvcc gives each object the name of a temporary file, in which the compiler's process number stands.
  const stripped = "-Wl,-s";
  return [
    ...["-G", "Ninja", "-S", SOURCES, "-B", BUILD, "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=ON"],
    ...[`-DCMAKE_C_COMPILER=${GCC.C}`, `-DCMAKE_CXX_COMPILER=${GCC.CXX}`],
    ...[`-DCMAKE_CUDA_COMPILER=${NVCC}`, `-DCMAKE_CUDA_HOST_COMPILER=${GCC.CUDA_HOST}`],
    ...[`-DCMAKE_C_FLAGS=${mapped}`, `-DCMAKE_CXX_FLAGS=${mapped}`, `-DCMAKE_CUDA_FLAGS=-Xcompiler=${mapped}`],
    ...[`-DCMAKE_CUDA_ARCHITECTURES=${architectures.join(";")}`, "-DCMAKE_CUDA_RUNTIME_LIBRARY=Shared"],
    ...["-DGGML_CUDA=ON", "-DGGML_BACKEND_DL=ON", "-DGGML_NATIVE=OFF", "-DGGML_CPU=OFF", "-DGGML_OPENMP=OFF"],
    ...["-DGGML_CUDA_NCCL=OFF", "-DGGML_CCACHE=OFF", "-DLLAMA_ALL_WARNINGS=OFF", "-DLLAMA_OPENSSL=OFF"],
    ...["COMMON", "TESTS", "TOOLS", "EXAMPLES", "SERVER", "APP"].map((part) => `-DLLAMA_BUILD_${part}=OFF`),
    ...launcher,
    ...["-DCMAKE_PLATFORM_NO_VERSIONED_SONAME=ON", "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON", `-DCMAKE_INSTALL_RPATH=${RUNPATH}`],
    ...[`-DCMAKE_SHARED_LINKER_FLAGS=${stripped}`, `-DCMAKE_MODULE_LINKER_FLAGS=${stripped}`],
  ];
}

/**
 * What GPUs a library has code for, from the lists of NVIDIA's cuobjdump: "PTX file    1: libx.1.sm_75.ptx" (PTX, whatever the name says),
 * "ELF file    1: libx.1.sm_86.cubin" (machine code). Sorted, each once.
 */
export function architecturesOf(ptxList: string, elfList: string): readonly string[] {
  const names = (list: string, line: RegExp, kind: string) => [...list.matchAll(line)].map(([, number]) => `${kind}_${number}`);
  const found = [
    ...names(ptxList, /^PTX file +\d+: \S+\.sm_([1-9][0-9]{1,2}[af]?)\.ptx$/gm, "compute"),
    ...names(elfList, /^ELF file +\d+: \S+\.sm_([1-9][0-9]{1,2}[af]?)\.cubin$/gm, "sm"),
  ];
  return [...new Set(found)].sort();
}

/** @throws BackendError GPU_ARCHITECTURES_DIFFER when the compiler made other code than it was asked for */
export function requireArchitectures(found: readonly string[], asked: readonly string[]): void {
  const expected = codeNames(asked).join(" ");
  if (found.join(" ") !== expected)
    throw new BackendError("GPU_ARCHITECTURES_DIFFER", { expected, actual: found.join(" ") || "none" });
}

/**
 * Libraries that NVIDIA's driver opens by name for this code: PTX needs its compiler, and a library without PTX does not.
 * See the driver's README, "Installed Components".
 */
export const openedLibraries = (architectures: readonly string[]): readonly string[] =>
  architectures.some((name) => name.startsWith("compute_")) ? ["libnvidia-ptxjitcompiler.so.1"] : [];
