import { BUILD, RUNPATH, SOURCES } from "../cuda.ts";
import { BackendError } from "../errors.ts";

/** LLVM's name of an AMD GPU, e.g. "gfx1030" (LLVM, "User Guide for AMDGPU Backend", Processors); features such as ":xnack+" are left out. */
const ARCHITECTURE = /^gfx[1-9][0-9]{1,2}[0-9a-f]$/;

/** The LLVM that Debian's hipcc calls, for host and GPU: its ROCm device libraries are for no other. */
const CLANG = { C: "/usr/bin/clang-17", CXX: "/usr/bin/clang++-17", HIP: "/usr/bin/clang++-17" } as const;

/** @throws BackendError GPU_ARCHITECTURES_DIFFER for a name that no single GPU has */
export function requireNames(architectures: readonly string[]): void {
  const wrong = architectures.find((name) => !ARCHITECTURE.test(name));
  if (wrong !== undefined || architectures.length === 0)
    throw new BackendError("GPU_ARCHITECTURES_DIFFER", { expected: "such as gfx1030", actual: wrong ?? "none" });
}

/**
 * Options of CMake. Nothing is tuned to the machine that builds; nothing but the HIP backend and what it links with is configured.
 * @throws BackendError GPU_ARCHITECTURES_DIFFER
 */
export function cmakeArguments(architectures: readonly string[], compilerCache: boolean): readonly string[] {
  requireNames(architectures);
  const languages = ["C", "CXX", "HIP"] as const;
  // A fixed path makes equal bytes already; this keeps the sandbox's own folders out of messages.
  const mapped = "-ffile-prefix-map=/tmp/=/usr/src/";
  const stripped = "-Wl,-s";
  return [
    ...["-G", "Ninja", "-S", SOURCES, "-B", BUILD, "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=ON"],
    ...languages.map((language) => `-DCMAKE_${language}_COMPILER=${CLANG[language]}`),
    ...languages.map((language) => `-DCMAKE_${language}_FLAGS=${mapped}`),
    `-DCMAKE_HIP_ARCHITECTURES=${architectures.join(";")}`,
    ...["-DGGML_HIP=ON", "-DGGML_BACKEND_DL=ON", "-DGGML_NATIVE=OFF", "-DGGML_CPU=OFF", "-DGGML_OPENMP=OFF"],
    // Graphs: upstream turned them on for newer releases of HIP than Debian's. Flash attention: patches/0003.
    ...["-DGGML_HIP_GRAPHS=OFF", "-DGGML_CUDA_FA=OFF"],
    ...["-DGGML_CCACHE=OFF", "-DLLAMA_ALL_WARNINGS=OFF", "-DLLAMA_OPENSSL=OFF"],
    ...["COMMON", "TESTS", "TOOLS", "EXAMPLES", "SERVER", "APP"].map((part) => `-DLLAMA_BUILD_${part}=OFF`),
    ...(compilerCache ? languages.map((language) => `-DCMAKE_${language}_COMPILER_LAUNCHER=ccache`) : []),
    ...["-DCMAKE_PLATFORM_NO_VERSIONED_SONAME=ON", "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON", `-DCMAKE_INSTALL_RPATH=${RUNPATH}`],
    ...[`-DCMAKE_SHARED_LINKER_FLAGS=${stripped}`, `-DCMAKE_MODULE_LINKER_FLAGS=${stripped}`],
  ];
}
