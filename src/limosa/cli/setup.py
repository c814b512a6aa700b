"""`limosa setup`: bring this machine to the point where limosa can work."""

import argparse

from limosa.engine import prepare

EXAMPLES = """examples:
  limosa setup              everything that is not there yet
  limosa setup --tools      only criu and crun, for a machine whose packages somebody else keeps
  limosa setup --refresh    choose criu and crun anew, after the machine got a new kernel or a new criu
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--tools", action="store_true", help="only criu and crun")
    parser.add_argument("--refresh", action="store_true", help="choose criu and crun anew")


def run(arguments: argparse.Namespace) -> int:
    """Carry the verb out and return the exit status."""
    from limosa import wiring_setup
    from limosa.cli import completion

    wiring_setup.require_root("set a machine up")
    toolchain = wiring_setup.toolchain()
    if not arguments.tools:
        prepare.install_packages(toolchain, "run", _report)
    for tool in prepare.select_tools(toolchain, wiring_setup.probes(), _report, refresh=arguments.refresh):
        _report(f"{tool.name}: {tool.path} ({tool.source})")
    if not arguments.tools:
        integration = wiring_setup.host_integration()
        _report(f"shell completion: {integration.install_completion(completion.script())}")
        unit = integration.install_boot_unit()
        _report(f"containers with --onboot: {unit or 'no systemd here: run `limosa start --onboot` at boot'}")
    return 0


def _report(line: str) -> None:
    print(f"setup: {line}", flush=True)
