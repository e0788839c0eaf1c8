"""The crew that is measured: three agents, three tasks, three model calls. Said once, run by everybody."""

ROLES = ("researcher", "writer", "reviewer")


def agent(role: str) -> dict[str, str]:
    return {
        "role": role.title(),
        "goal": f"Be the best {role} that the question could wish for",
        "backstory": f"You have worked as a {role} for many years and are known for clear, short answers.",
    }


def task(role: str, topic: str) -> dict[str, str]:
    return {
        "description": f"As the {role}, work on the topic: {topic}. Build on what you were given.",
        "expected_output": "Three short paragraphs.",
    }
