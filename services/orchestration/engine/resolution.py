"""Which nodes run and which are skipped, found edge by edge: no step ever looks at the whole graph."""

from collections.abc import Iterable

from services.orchestration.engine.plan import Plan, PlannedEdge, PlannedNode

# A node, and whether it runs or is skipped.
Due = tuple[PlannedNode, bool]


class Resolution:
    """Counts, per node, the edges that are still open and those that were taken.

    A node is resolved when all its edges are: it runs if at least one was taken, and is skipped if none was, which
    in turn resolves the edges that leave it. So a join waits for its branches, and runs after those that ran.
    """

    def __init__(self, plan: Plan) -> None:
        self._nodes = plan.nodes
        self._open = [node.incoming for node in plan.nodes]
        self._taken = [0] * len(plan.nodes)
        self.unresolved = len(plan.nodes)

    def resolve(self, node: PlannedNode, taken: Iterable[PlannedEdge]) -> list[Due]:
        """The node ended and these of its edges are taken. Answers the nodes now due: to run, or to be skipped."""
        self.unresolved -= 1
        for edge in taken:
            self._taken[edge.target] += 1
        due: list[Due] = []
        for edge in node.edges:
            self._open[edge.target] -= 1
            if self._open[edge.target] == 0:
                due.append((self._nodes[edge.target], self._taken[edge.target] > 0))
        return due
