"""A guest that uses the files of Python, and says what it saw: WASI 0.2 as a component has it."""

import json
import os
import sys
import time

from wasmgrad import args


def refused(call, *given):
    try:
        call(*given)
    except OSError as error:
        return error.errno != 0
    return False


def work(folder):
    seen = {}
    data = bytes(range(256)) * 9000  # more than WASI moves at once
    with open(f"{folder}/a", "wb") as file:
        file.write(data)
    with open(f"{folder}/a", "rb") as file:
        seen["read"] = file.read() == data
        file.seek(1000)
        seen["seek"] = file.read(4) == data[1000:1004]
    with open(f"{folder}/a", "ab") as file:
        file.write(b"end")
    with open(f"{folder}/a", "r+b") as file:
        file.seek(5)
        file.write(b"middle")
        file.truncate(len(data) + 2)
    with open(f"{folder}/a", "rb") as file:
        changed = file.read()
    seen["changed"] = changed == data[:5] + b"middle" + data[11:] + b"en"
    seen["size"] = os.stat(f"{folder}/a").st_size == len(changed)
    os.utime(f"{folder}/a", (1_000_000_000, 1_100_000_000))
    seen["time"] = os.stat(f"{folder}/a").st_mtime == 1_100_000_000
    os.mkdir(f"{folder}/d")
    os.rename(f"{folder}/a", f"{folder}/d/b")
    for number in range(300):
        open(f"{folder}/d/{number:03d}", "wb").close()
    seen["list"] = sorted(os.listdir(f"{folder}/d")) == [*(f"{n:03d}" for n in range(300)), "b"]
    os.symlink("b", f"{folder}/d/link")
    seen["link"] = os.readlink(f"{folder}/d/link") == "b" and os.path.islink(f"{folder}/d/link")
    os.link(f"{folder}/d/b", f"{folder}/d/hard")
    seen["hard"] = os.stat(f"{folder}/d/hard").st_nlink == 2
    os.unlink(f"{folder}/d/hard")
    seen["missing"] = refused(os.stat, f"{folder}/missing")
    seen["not empty"] = refused(os.rmdir, f"{folder}/d")
    seen["outside"] = refused(os.stat, f"{folder}/../secret") and refused(open, "/etc/passwd")
    os.symlink("../../secret", f"{folder}/d/out")
    seen["outside by link"] = refused(open, f"{folder}/d/out")
    return seen


def main():
    kind, folder = args()[:2]
    if kind == "open":
        files = []
        try:
            while True:
                files.append(open(f"{folder}/{len(files)}", "wb"))
        except OSError:
            most = len(files)
        files[0].close()
        files[0] = open(f"{folder}/again", "wb")
        print(most, refused(open, f"{folder}/one more", "wb"))
        return
    if kind == "read-only":
        seen = {
            "open": refused(open, f"{folder}/kept", "r+b"),
            "create": refused(open, f"{folder}/new", "wb"),
            "mkdir": refused(os.mkdir, f"{folder}/new"),
            "rename": refused(os.rename, f"{folder}/kept", f"{folder}/moved"),
            "unlink": refused(os.unlink, f"{folder}/kept"),
            "link": refused(os.link, f"{folder}/kept", f"{folder}/linked"),
            "symlink": refused(os.symlink, "kept", f"{folder}/linked"),
            "utime": refused(os.utime, f"{folder}/kept", (1, 1)),
            "read": open(f"{folder}/kept").read() == "kept",
        }
        print(json.dumps(seen))
        return
    seen = work(folder)
    begin, monotonic = time.time(), time.monotonic()
    time.sleep(0.05)
    seen["clocks"] = 0.05 <= time.monotonic() - monotonic < 5 and time.time() > begin > 1_700_000_000
    seen["input"] = sys.stdin.read() == ""
    seen["random"] = os.urandom(16) != os.urandom(16)
    print("error of mine", file=sys.stderr)
    print(json.dumps(seen))
