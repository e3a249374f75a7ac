#!/usr/bin/env bash
# Installs what cargo does not bring, on Debian and Ubuntu. Installs nothing that is there already.
#
#   ops/setup.sh demo    what building and running need
#   ops/setup.sh test    that, and what the checks and tests need
#   ops/setup.sh bench   what building needs, and what `counterpoint bench` compares with
set -euo pipefail

readonly RUST=1.95
readonly GSTREAMER=1.22
# torchcodec's version goes with torch's.
readonly TORCH=2.9.0
readonly TORCHCODEC=0.9.0

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

system_packages() { # demo | test | bench
    local package wanted=(
        build-essential pkg-config
        libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
        gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good
        gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav
    )
    local missing=()
    if [ "$1" = test ]; then
        wanted+=(fonts-dejavu-core)
        # Ubuntu's own package is a snap, so a browser of another origin is as good.
        any_command chromium chromium-browser google-chrome google-chrome-stable || wanted+=(chromium)
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

rust() { # demo | test | bench
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

# Python with torchcodec in target/tools/bench, where `counterpoint bench` looks for it.
torchcodec() {
    local folder
    folder=$(cd "$(dirname "$0")/.." && pwd)
    local venv=${CARGO_TARGET_DIR:-$folder/target}/tools/bench
    if "$venv/bin/python" -c 'import torchcodec.decoders' >/dev/null 2>&1; then
        say "torchcodec is there"
        return
    fi
    say "installing torch $TORCH and torchcodec $TORCHCODEC into $venv"
    # The system's Python: torchcodec needs one that is a library as well.
    /usr/bin/python3 -m venv --clear "$venv"
    # Without dependencies, as torch's own are 3 GB of CUDA; those it needs on a CPU are named.
    "$venv/bin/pip" install --quiet --no-deps "torch==$TORCH" "torchcodec==$TORCHCODEC" \
        numpy typing_extensions sympy mpmath networkx jinja2 markupsafe filelock fsspec setuptools ||
        fail "torch cannot be installed; see above"
    "$venv/bin/python" "$folder/ops/bench/slim_torch.py"
    "$venv/bin/python" -c 'import torchcodec.decoders' ||
        fail "torchcodec does not load; see above, and file what it says with the version of ffmpeg"
}

case "${1:-}" in
demo | test)
    system_packages "$1"
    rust "$1"
    ;;
bench)
    system_packages bench
    rust bench
    torchcodec
    ;;
*)
    fail "usage: ops/setup.sh demo|test|bench"
    ;;
esac
