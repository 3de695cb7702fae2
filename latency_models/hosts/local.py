"""The machine in hand: the agent runs under this Python, in a process of its own."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from latency_models.hosts import HostFacts, Report, Request, agent_process
from nas.core.errors import MeasurementError


class LocalHost:
    """Times models here."""

    name = "local"

    def facts(self) -> HostFacts:
        """As `Host.facts`."""
        with agent_process.running([sys.executable, str(agent_process.AGENT), "--check"]) as agent:
            found = agent_process.facts(agent.out.read())
            code = agent.process.wait()
            if found is None:
                raise MeasurementError(f"the agent does not start here (exit code {code}): {' '.join(agent.said()[-1:])}")
            return found

    def stream(self, models: Sequence[Path], request: Request) -> Iterator[Report]:
        """As `Host.stream`; there is no connection that could be lost."""
        if not models:
            return
        command = [sys.executable, str(agent_process.AGENT), *agent_process.options(request), "--", *map(str, models)]
        with agent_process.running(command) as agent:
            done = 0
            for line in agent.out:
                found = agent_process.report(line, models[done])
                if found is not None:
                    yield found
                    done += 1
            code = agent.process.wait()
            if code != 0 or done != len(models):
                raise agent_process.failure(code, agent.said(), models[min(done, len(models) - 1)], self.name)

    def close(self) -> None:
        """Nothing is left behind here."""
