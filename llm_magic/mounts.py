"""Whether a folder is on another machine, where SQLite's shared memory and locks do not reach.

There the working files go to the user's cache folder of this machine: two machines that write one
database over a network damage it. The cassette, a file like any other, stays beside the notebook.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path

__all__ = ["cache_folder", "network_type"]

_MOUNTINFO = Path("/proc/self/mountinfo")

# File systems of other machines by the names that Linux and macOS have for them. 9p is how WSL
# shows the drives of Windows; a bare "fuse" is what Colab shows a drive as.
_NETWORK = re.compile(
    r"9p|afpfs|afs|beegfs|ceph|cifs|davfs|fuse|gpfs|lustre|ncpfs|nfs[34]?|ocfs2|orangefs|pvfs2"
    r"|smb[23]|smbfs|vboxsf|webdav"
    r"|fuse\.(blobfuse2?|ceph|cephfs|drive|gcsfuse|glusterfs|goofys|grpcfuse|juicefs|mount-s3"
    r"|osxfs|rclone|s3fs|seaweedfs|sshfs)"
)


def network_type(folder: Path) -> str | None:
    """The type of the network file system that a folder is on; None on a disk of this machine.

    Parameters
    ----------
    folder : pathlib.Path
        An absolute path without symbolic links; it need not exist.
    """
    if sys.platform == "win32":
        import ctypes

        # https://learn.microsoft.com/windows/win32/api/fileapi/nf-fileapi-getdrivetypew
        remote = ctypes.windll.kernel32.GetDriveTypeW(folder.anchor) == 4
        return "network drive" if remote else None
    found = _type_at(folder, _mounts()) or ""
    return found if _NETWORK.fullmatch(found) else None


def _mounts() -> list[tuple[str, str]]:
    """Folders at which something is mounted, with the type of file system; later ones hide."""
    if sys.platform == "darwin":
        import subprocess

        listed = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=False)
        return parse_mount(listed.stdout)
    try:
        return parse_mountinfo(os.fsdecode(_MOUNTINFO.read_bytes()))
    except OSError:
        # Another Unix: as if all were local, which nearly everything is.
        return []


def parse_mountinfo(text: str) -> list[tuple[str, str]]:
    """Mount points and types in ``/proc/self/mountinfo``, see proc_pid_mountinfo(5).

    >>> parse_mountinfo("36 35 98:0 / /data rw,noatime shared:1 - nfs4 host:/data rw")
    [('/data', 'nfs4')]
    """
    found = []
    for line in text.splitlines():
        left, dash, right = line.partition(" - ")
        fields = left.split()
        if dash and len(fields) > 4 and right:
            point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
            found.append((point, right.split()[0]))
    return found


def parse_mount(text: str) -> list[tuple[str, str]]:
    """Mount points and types in what macOS's ``mount`` prints.

    >>> parse_mount("//ann@nas/data on /Volumes/my data (smbfs, nodev, nosuid, mounted by ann)")
    [('/Volumes/my data', 'smbfs')]
    """
    return re.findall(r"^.+? on (/.*) \((\w+)[,)]", text, flags=re.MULTILINE)


def _type_at(folder: Path, mounts: list[tuple[str, str]]) -> str | None:
    places = {str(place) for place in (folder, *folder.parents)}
    above = [(len(point), at, kind) for at, (point, kind) in enumerate(mounts) if point in places]
    return max(above)[2] if above else None


def cache_folder() -> Path:
    """Folder of this user on this machine for working files of folders on other machines.

    A home may itself be on another machine and shared by several, so each has its own.
    """
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "llm-magic" / (re.sub(r"[^\w.-]", "_", platform.node()) or "unnamed")
