"""Makes the torch wheel of this Python work without CUDA's libraries, which are 3 GB that no CPU needs.

The wheel links against them although nothing calls them on a CPU. Their place, and that of torch's own CUDA part
(1 GB), is taken by one small library that holds every name which is asked for: functions that do nothing, and
classes without members. Run it with the Python that torch was installed into; again does no harm.
"""

import pathlib
import re
import subprocess
import sysconfig

LIB = pathlib.Path(sysconfig.get_path("purelib")) / "torch" / "lib"
UNUSED = ["libtorch_cuda", "libtorch_cuda_linalg", "libc10_cuda", "libcaffe2_nvrtc", "libtorch_nvshmem"]
USED = ["libtorch_python", "libtorch", "libtorch_global_deps", "libtorch_cpu", "libshm", "libc10"]
SYSTEM = ["libstdc++.so.6", "libgcc_s.so.1", "libm.so.6", "libc.so.6", "libdl.so.2", "libpthread.so.0"]
STUB = "libnocuda.so"
NO_DEVICE = 100  # cudaErrorNoDevice


def told(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def symbols(library):
    """Section and name (with its version) of every dynamic symbol that has to be there."""
    for line in told("readelf", "-W", "--dyn-syms", str(library)).splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[4] != "WEAK":
            yield fields[6], fields[7]


def provided(library):
    lines = told("readelf", "-W", "--dyn-syms", str(library)).splitlines()
    fields = (line.split() for line in lines)
    return {field[7].split("@")[0] for field in fields if len(field) >= 8 and field[6] != "UND"}


def assembly(name):
    label = f'"{name}"'
    if name.startswith("_ZTI"):  # a class without base classes
        return [".data", ".balign 8", f".globl {label}", f".type {label}, @object",
                f"{label}: .quad _ZTVN10__cxxabiv117__class_type_infoE + 16, 9f",
                ".section .rodata", f'9: .asciz "{name[4:]}"', ".text"]
    if name.startswith("_ZTV"):  # its methods
        return [".data", ".balign 8", f".globl {label}", f".type {label}, @object",
                f"{label}: .quad 0, 0", ".rept 126", ".quad nothing", ".endr", ".text"]
    if name.startswith("_Z"):  # may return a reference that is written to
        body = "lea blank(%rip), %rax"
    else:
        body = f"mov ${NO_DEVICE if name.startswith('cuda') else 0}, %eax"
    return [f".globl {label}", f".type {label}, @function", f"{label}: {body}", "ret"]


def main():
    for path in list(LIB.iterdir()):
        if path.is_symlink() or path.name == STUB or path.name.split(".")[0] in UNUSED:
            path.unlink()
    used = [LIB / f"{name}.so" for name in USED]
    there = set().union(*(provided(path) for path in LIB.glob("*.so*")))
    there |= set().union(*(provided(told("cc", f"-print-file-name={name}").strip()) for name in SYSTEM))
    missing, versions, wanted = [], {}, set()
    for library in used:
        wanted |= set(re.findall(r"Shared library: \[(lib.*?)\]", told("readelf", "-dW", str(library))))
        for section, symbol in symbols(library):
            name, _, version = symbol.partition("@")
            if section != "UND" or name in there or name in missing or re.match("_?Py", name):
                continue
            if version and not version.startswith("lib"):
                continue
            missing.append(name)
            if version:
                versions.setdefault(version, []).append(name)
    known = re.compile(r"lib(c|m|dl|pthread|rt|stdc\+\+|gcc_s)\.so")
    absent = [name for name in sorted(wanted) if not (LIB / name).exists() and not known.match(name)]
    source, script = LIB / "nocuda.s", LIB / "nocuda.map"
    lines = [".bss", ".balign 4096", "blank: .zero 65536", ".text", "nothing: xor %eax, %eax", "ret"]
    lines += [line for name in missing for line in assembly(name)]
    lines.append('.section .note.GNU-stack,"",@progbits')
    source.write_text("\n".join(lines) + "\n")
    script.write_text("".join(
        "%s { global: %s };\n" % (version, " ".join(f'"{name}";' for name in names))
        for version, names in versions.items()
    ))
    subprocess.run(["cc", "-shared", "-nostdlib", "-Wl,--no-as-needed", "-lstdc++", "-o", str(LIB / STUB),
                    str(source), f"-Wl,--version-script={script}"], check=True)
    source.unlink()
    script.unlink()
    for name in absent:
        (LIB / name).symlink_to(STUB)


main()
