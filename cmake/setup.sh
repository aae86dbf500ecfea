# Sourced by scripts: sees to it that what skv is built with is there. On Debian and Ubuntu missing
# packages are installed as far as that needs no password.

exec </dev/null # nothing here asks a question

skv_setup() {
    # package, or package:command where any origin of the command will do
    local wanted=(
        cmake:cmake ninja-build:ninja g++:c++ python3:python3
        libgtest-dev libgmock-dev libbenchmark-dev libfmt-dev libcli11-dev nlohmann-json3-dev
        libxxhash-dev libzstd-dev liblz4-dev libeigen3-dev libboost-context-dev libsentencepiece-dev
    )
    local item package command missing=()

    if ! command -v dpkg-query >/dev/null; then
        for item in "${wanted[@]}"; do
            command=${item#*:}
            [[ $item != *:* ]] || command -v "$command" >/dev/null || missing+=("$command")
        done
        if ((${#missing[@]})); then
            echo "skv needs ${missing[*]}; and the libraries GoogleTest, Google Benchmark, fmt, CLI11," \
                "nlohmann-json, xxHash, zstd, LZ4, Eigen, Boost.Context and SentencePiece with their headers" >&2
            exit 1
        fi
        return 0 # CMake names a library that is missing
    fi

    for item in "${wanted[@]}"; do
        package=${item%:*} command=${item#*:}
        if [[ $item == *:* ]] && command -v "$command" >/dev/null; then continue; fi
        case $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true) in
            *' installed') ;;
            *) missing+=("$package") ;;
        esac
    done
    ((${#missing[@]})) || return 0

    local root=()
    if ((EUID != 0)); then
        if ! sudo -n true 2>/dev/null; then
            echo "skv needs packages that are not installed:" >&2
            echo "sudo apt-get install -y ${missing[*]}" >&2
            exit 1
        fi
        root=(sudo -n)
    fi
    local apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
    "${apt[@]}" update || echo "apt-get update failed; trying with the lists at hand" >&2
    "${apt[@]}" install -y --no-install-recommends "${missing[@]}"
}

skv_setup
