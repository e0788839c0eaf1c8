class StackError(Exception):
    """Something on this machine is in the way. Says what is wrong and what the person can do about it."""

    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(f"{problem} {advice}")
        self.problem = problem
        self.advice = advice
