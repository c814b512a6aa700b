"""limosa, as far as `--in` needs it, with folders for containers: `python fake_limosa.py FOLDER VERB …`.

A container's processes are not there, so what a fork keeps of memory is for tests/e2e. Everything else is real: the
shell script, tar, the commands; and what is wrong (a container that is not there, a commit forgotten) is refused.
"""

import os
import shutil
import sys
import uuid


def main(state: str, verb: str, *args: str) -> int:
    """Carry out one verb."""
    containers, commits = f"{state}/containers", f"{state}/commits"
    for folder in (containers, commits):
        os.makedirs(folder, exist_ok=True)
    last = args[-1]
    if verb == "checkpoint":
        if not os.path.exists(f"{containers}/{last}/running"):
            print("error[LIM-CONT-002]: it does not run", file=sys.stderr)
            return 1
        commit = uuid.uuid4().hex
        shutil.copytree(f"{containers}/{last}", f"{commits}/{commit}", symlinks=True)
        if "--stop" in args:
            os.remove(f"{containers}/{last}/running")
        print(commit)
    elif verb == "fork":
        shutil.copytree(f"{commits}/{last}", f"{containers}/{args[1]}", symlinks=True)
    elif verb == "rm":
        for name in args[1:]:
            shutil.rmtree(f"{containers}/{name}")
    elif verb == "forget":
        for commit in args:
            shutil.rmtree(f"{commits}/{commit}")
    elif verb == "exec":
        words = list(args[1:])
        env = {}
        while words[0] == "-e":
            name, _, value = words[1].partition("=")
            env[name] = value
            words = words[2:]
        name, *command = words
        assert os.path.exists(f"{containers}/{name}/running")
        env["LIMOSA_SLICE_TREE"] = f"{containers}/{name}/tree"
        with open(f"{state}/log", "a") as log:
            log.write(f"exec {name}\n")
        os.execvpe(command[0], command, {**os.environ, **env})
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
