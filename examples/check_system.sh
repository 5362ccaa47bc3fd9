#!/bin/sh
# Say what is missing on this machine, before anything is installed: check_system.sh PYTHON
python=${1:-python3}
missing=0
say() { echo "missing: $1; $2" >&2; missing=1; }
command -v "$python" >/dev/null || say "$python" "install Python 3.11 or newer (Debian: apt-get install python3 python3-venv)"
if command -v "$python" >/dev/null; then
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || say "Python 3.11" "$("$python" --version) is too old"
  "$python" -c 'import venv, ensurepip' 2>/dev/null || say "the venv module" "Debian: apt-get install python3-venv"
fi
command -v git >/dev/null || say git "Debian: apt-get install git"
exit $missing
