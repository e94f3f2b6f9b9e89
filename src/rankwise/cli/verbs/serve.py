"""`rankwise serve`: runs behind HTTP, for the clients that people have already."""

from dataclasses import dataclass
from typing import Annotated

import typer
from typer import Argument, Option

from rankwise.cli.arguments import BaseOption, EngineOption, takes_options
from rankwise.errors import DataError, check_installed, require

EPILOG = "SIGHUP looks the runs up again; SIGTERM answers what was accepted and ends."


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    runs: Annotated[
        list[str], Argument(metavar="RUNS", help="Run folders, folders of runs, quoted patterns; NAME=FOLDER to name one.")
    ]
    host: Annotated[str, Option(help="The address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Option(min=0, max=65_535, help="The port; 0 for a free one.")] = 8080
    default: Annotated[str | None, Option(metavar="NAME", help="The run that answers where a request names none.")] = None
    api_key: Annotated[str | None, Option(envvar="RANKWISE_API_KEY", help="What clients must send as Bearer.")] = None
    no_auth: Annotated[bool, Option("--no-auth", help="Listen beyond this machine without a key.")] = False
    admin: Annotated[bool, Option("--admin", help="POST /admin/reload, from this machine.")] = False
    no_page: Annotated[bool, Option("--no-page", help="Leave out the page at /, where people type texts.")] = False
    engine: EngineOption = "torch"
    base: BaseOption = None
    max_queue: Annotated[int, Option(min=1, help="Texts that may wait; what comes then gets 429.")] = 512
    max_wait: Annotated[float, Option(min=0.01, help="Seconds of work before one's own, 16 texts aside; then 429.")] = 1.0
    queue_timeout: Annotated[float, Option(min=0.01, help="Seconds after which who waits gets 503.")] = 30.0
    batch_tokens: Annotated[int, Option(min=1, help="Tokens that are computed together.")] = 8_192
    no_truncate: Annotated[bool, Option("--no-truncate", help="Refuse a text that is longer than its run reads.")] = False
    state_json: Annotated[
        bool, Option("--state-json", help="Read a state without the run's text columns as JSON; no run was trained so.")
    ] = False


@takes_options
def serve(options: ServeOptions) -> None:
    """Serve runs over HTTP."""
    for module in ("starlette", "uvicorn", "httptools", "prometheus_client"):
        check_installed(module, extra="serve")
    from rankwise.run.engines import engine_called
    from rankwise.serving.catalogue import Shelf
    from rankwise.serving.server import Address
    from rankwise.serving.server import serve as serve_on
    from rankwise.serving.service import Service, Settings

    address = Address(options.host, options.port)
    if options.api_key == "":
        raise DataError("--api-key is empty; give one, or leave it out")
    if not address.is_loopback and options.api_key is None and not options.no_auth:
        raise DataError(
            f"--host {options.host} lets other machines in; give --api-key KEY (or RANKWISE_API_KEY=KEY), or say --no-auth"
        )
    shared = require("rankwise.serving.shared", extra="train") if engine_called(options.engine).shares else None
    encoders, engine = (None, None) if shared is None else shared.sharing()
    shelf = Shelf(tuple(options.runs), options.default, options.engine, options.base, encoders)
    names = shelf.folders()
    settings = Settings(
        api_key=options.api_key,
        hosts=address.names,
        admin=options.admin,
        page=not options.no_page,
        any_json=options.state_json,
        truncate=not options.no_truncate,
        most_queued=options.max_queue,
        most_wait=options.max_wait,
        most_tokens=options.batch_tokens,
        queue_timeout=options.queue_timeout,
    )
    service = Service(shelf, settings=settings, engine=engine)
    listed = ", ".join(names)

    def ready(url: str) -> None:
        typer.echo(f"serving {listed} on {url}; {'' if options.no_page else 'a page there, '}OpenAPI at {url}/openapi.json")

    if not serve_on(service, address, on_ready=ready):
        raise typer.Exit(1)
