import pytest

from services.workflows.crewai_format.bind import bind
from services.workflows.crewai_format.errors import ProjectError
from services.workflows.crewai_format.project import CrewAgent, CrewProject, CrewTask, Process
from services.workflows.crewai_format.read import Format, Reading, read_project
from services.workflows.crewai_format.report import Item, Report
from tests.workflows.projects import example

AGENT = "role: r\n  goal: g\n  backstory: b"
TASK = "description: d\n  expected_output: e"


def classic(agents: str = f"a:\n  {AGENT}", tasks: str = f"t:\n  {TASK}") -> Reading:
    return read_project({"agents.yaml": agents, "tasks.yaml": tasks})


def faults(files: dict[str, str], format: Format | None = None) -> str:
    with pytest.raises(ProjectError) as caught:
        read_project(files, format)
    return str(caught.value)


def found(items: list[Item]) -> set[tuple[str, str]]:
    return {(item.code.value, item.where) for item in items}


def test_the_classic_example() -> None:
    reading = read_project(example("research_team"))
    assert reading.format is Format.CLASSIC
    assert reading.project == CrewProject(
        name="research_team",
        agents=(
            CrewAgent(
                "researcher",
                "{topic} researcher",
                "Find out what matters most about {topic}",
                "You read a lot, trust little, and remember where you read it. You know which findings "
                "about {topic} an expert would call settled, and which not.",
            ),
            CrewAgent(
                "writer",
                "Technical writer",
                "Turn findings into a text that {audience} will read to its end",
                "You write short sentences and leave out what the reader does not need.",
                max_iterations=10,
            ),
            CrewAgent(
                "reviewer",
                "Reviewer",
                "Let no claim pass that the findings do not carry",
                "You are kind to people and hard on sentences.",
            ),
        ),
        tasks=(
            CrewTask(
                "research_task",
                "Research {topic}. The year is {current-year}. Note for each finding how sure you are of it.",
                "Ten findings about {topic}, each with a sentence on how sure you are.",
                "researcher",
            ),
            CrewTask(
                "writing_task",
                "Write an article about {topic} for {audience} from the findings.",
                "An article of about 500 words, as markdown without fences.",
                "writer",
                markdown=True,
            ),
            CrewTask(
                "review_task",
                "Compare the article with the findings and correct what they do not carry.",
                "The corrected article, as markdown without fences.",
                "reviewer",
                context=("research_task", "writing_task"),
            ),
        ),
    )
    assert found(reading.report.ignored) == {("unsafe", "tasks.review_task.output_file")}
    assert reading.report.ignored[0].file == "src/research_team/config/tasks.yaml"
    assert reading.report.ignored[0].line == 26


def test_the_jsonc_example() -> None:
    reading = read_project(example("support_desk"))
    project = reading.project
    assert reading.format is Format.JSONC
    assert (project.name, project.process, project.inputs) == (
        "Support desk",
        Process.SEQUENTIAL,
        {"tone": "friendly"},
    )
    sorter, answerer = project.agents
    assert (sorter.llm, sorter.temperature, sorter.max_iterations) == ("openai/gpt-4.1-mini", 0.1, 5)
    assert answerer.tools == ("SerperDevTool",)
    sort, answer = project.tasks
    assert sort.output_schema is not None
    assert sort.output_schema["required"] == ["kind", "urgent"]
    assert answer.context == ("sort",)
    assert found(reading.report.ignored) == {
        ("unsafe", "agents.answerer.tools"),
        ("unsafe", "tasks.answer.human_input"),
    }


def test_crew_jsonc_wins_over_yaml_unless_the_format_is_given() -> None:
    files = {**example("support_desk"), **example("research_team")}
    assert read_project(files).format is Format.JSONC
    assert read_project(files, Format.CLASSIC).format is Format.CLASSIC
    assert found(read_project(files).report.ignored) >= {("files_not_read", "files")}


def test_names_are_labels_and_never_paths() -> None:
    files = {
        "..\\..\\etc\\config\\agents.yaml": f"a:\n  {AGENT}",
        "../../etc/config/tasks.yaml": f"t:\n  {TASK}",
        "/etc/passwd": "root",
    }
    assert [agent.key for agent in read_project(files).project.agents] == ["a"]


def test_all_that_is_unsafe_is_left_out_and_said() -> None:
    agents = f"""
a:
  {AGENT}
  from_repository: x/y
  allow_code_execution: true
  knowledge_sources: [secret.pdf]
  mcps: [{{url: 'https://x.test', headers: {{Authorization: Bearer s3cr3t}}}}]
  memory: true
  step_callback: my.module.callback
  guardrail: {{python: my.guard}}
  embedder: {{provider: openai, config: {{api_key: s3cr3t}}}}
  llm: {{model: gpt-4.1-mini, api_key: s3cr3t, base_url: 'http://10.0.0.1'}}
  verbose: true
  max_rpm: 10
  colour: red
"""
    tasks = f"""
t:
  {TASK}
  output_file: '{{p}}'
  human_input: true
  callback: notify
  guardrail: check
  async_execution: true
  output_pydantic: Report
  call: code
"""
    reading = classic(agents, tasks)
    unsafe = {where for code, where in found(reading.report.ignored) if code == "unsafe"}
    assert unsafe == {
        "agents.a.from_repository",
        "agents.a.allow_code_execution",
        "agents.a.knowledge_sources",
        "agents.a.mcps",
        "agents.a.memory",
        "agents.a.step_callback",
        "agents.a.guardrail",
        "agents.a.embedder",
        "agents.a.llm.api_key",
        "agents.a.llm.base_url",
        "tasks.t.output_file",
        "tasks.t.human_input",
        "tasks.t.callback",
        "tasks.t.call",
    }
    others = found(reading.report.ignored) - {("unsafe", where) for where in unsafe}
    assert others == {
        ("unsupported", "agents.a.max_rpm"),
        ("unknown_field", "agents.a.colour"),
        ("unsupported", "tasks.t.guardrail"),
        ("unsupported", "tasks.t.async_execution"),
    }
    assert found(reading.report.missing) == {("output_class_missing", "tasks.t.output_pydantic")}
    assert "s3cr3t" not in repr(reading)
    assert reading.project.agents[0].llm == "gpt-4.1-mini"


def test_fields_that_say_nothing_are_not_reported() -> None:
    reading = classic(
        f"a:\n  {AGENT}\n  memory: false\n  mcps: []\n  verbose: true\n  cache: true\n  knowledge_sources:"
    )
    assert reading.report.ignored == []


def test_python_references_are_never_followed() -> None:
    crew = """{
      "agents": {"a": {"role": "r", "goal": "g", "backstory": "b", "type": {"python": "evil.Agent"},
                       "tools": ["custom:evil", "evil.module:Tool", "platform:gmail", {"tool_type": "x.Y"}, "Good"],
                       "llm": {"python": "evil.llm"}}},
      "tasks": [{"description": "d", "expected_output": "e", "type": "ConditionalTask",
                 "condition": {"python": "evil.check"}, "output_json": {"python": "evil.Model"}}],
      "manager_agent": {"python": "evil.manager"},
      "before_kickoff_callbacks": [{"python": "evil.before"}]
    }"""
    reading = read_project({"crew.json": crew})
    assert reading.project.agents[0].tools == ("Good",)
    assert reading.project.manager is None
    assert found(reading.report.ignored) == {
        ("unsafe", where)
        for where in (
            "agents.a.type",
            "agents.a.tools",
            "agents.a.llm",
            "tasks.task_1.type",
            "tasks.task_1.condition",
            "crew.manager_agent",
            "crew.before_kickoff_callbacks",
        )
    }
    assert found(reading.report.missing) == {("output_class_missing", "tasks.task_1.output_json")}


def test_agents_may_be_inline_listed_or_in_files() -> None:
    body = '"role": "r", "goal": "g", "backstory": "b"'
    task = '"tasks": [{"description": "d", "expected_output": "e", "agent": "a"}]'
    whole = {
        "dict": f'{{"agents": {{"a": {{{body}}}}}, {task}}}',
        "named": f'{{"agents": [{{"name": "a", {body}}}], {task}}}',
        "one key": f'{{"agents": [{{"a": {{{body}}}}}], {task}}}',
    }
    read = [read_project({"crew.jsonc": text}).project for text in whole.values()]
    files = {"p/crew.jsonc": f'{{"agents": ["a"], {task}}}', "p/agents/a.json": f"{{{body}}}"}
    read.append(read_project(files).project)
    assert all(project == read[0] for project in read)


def test_a_manager_need_not_be_among_the_agents() -> None:
    body = '{"role": "r", "goal": "g", "backstory": "b"}'
    crew = """{"agents": ["a"], "manager_agent": "boss", "process": "hierarchical",
               "tasks": [{"description": "d", "expected_output": "e"}]}"""
    files = {"crew.jsonc": crew, "agents/a.jsonc": body, "agents/boss.jsonc": body}
    project = read_project(files).project
    assert project.manager is not None
    assert ([agent.key for agent in project.agents], project.manager.key) == (["a"], "boss")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no crewAI project was found"),
        ({"agents.yaml": "a: {}"}, "no crewAI project was found"),
        ({"x/agents.yaml": "", "y/tasks.yaml": ""}, "no crewAI project was found"),
        (
            {"x/agents.yaml": "", "x/tasks.yaml": "", "y/agents.yaml": "", "y/tasks.yaml": ""},
            "holds several crews; import one at a time: x/agents.yaml, y/agents.yaml",
        ),
        ({"agents.yaml": "", "tasks.yaml": ""}, "agents.yaml:1: agents must be a mapping"),
        ({"agents.yaml": "{}", "tasks.yaml": "{}"}, "a crew has 1 to 50 agents; this one has 0"),
        ({"agents.yaml": "a: x", "tasks.yaml": "{}"}, "agents.yaml:1: agents.a must be a mapping"),
        (
            {"agents.yaml": "a:\n  role: 5\n  goal: ' '", "tasks.yaml": f"t:\n  {TASK}"},
            "agents.yaml:2: agents.a.role must be text; agents.yaml:3: agents.a.goal is empty; "
            "agents.yaml:2: agents.a.backstory is missing",
        ),
        (
            {"agents.yaml": f"a:\n  {AGENT}", "tasks.yaml": f"t:\n  {TASK}\n  context:\n    - later\nlater:\n  {TASK}"},
            "tasks.yaml:5: tasks.t.context: 'later' names no task before this one",
        ),
        (
            {"agents.yaml": f"a:\n  {AGENT}\n  max_iter: 0\n  tools: x", "tasks.yaml": f"t:\n  {TASK}\n  markdown: 1"},
            "agents.yaml:5: agents.a.max_iter must be a whole number from 1",
        ),
        ({"agents.yaml": "a: [", "tasks.yaml": "{}"}, "agents.yaml:2: is not valid YAML"),
        ({"crew.jsonc": '{"agents": ["a"], "tasks": []}'}, "agents.a: there is no file agents/a.jsonc"),
        (
            {"crew.jsonc": '{"agents": [5], "process": "odd"}'},
            "crew.process must be 'sequential' or 'hierarchical'",
        ),
        ({f"{i}.txt": "" for i in range(501)}, "501 files are more than the 500"),
        ({"agents.yaml": "x" * 300_000, "tasks.yaml": ""}, "agents.yaml: is longer than 262144 characters"),
        ({"x" * 400: ""}, "a file name is no text, or longer than 300 characters"),
        ({"\ud800": ""}, "a file name is no text, or longer than 300 characters"),
        ({"agents.yaml": f"? {'k' * 101}\n: {{}}", "tasks.yaml": "{}"}, "must have 1 to 100 characters"),
    ],
)
def test_faults_name_file_and_line(files: dict[str, str], message: str) -> None:
    assert message in faults(files)


def test_a_format_that_is_not_there() -> None:
    assert "it needs crew.jsonc" in faults(example("research_team"), Format.JSONC)
    assert "it needs agents.yaml and tasks.yaml" in faults(example("support_desk"), Format.CLASSIC)


def two_agents(tasks: str) -> Reading:
    return classic(f"a:\n  {AGENT}\nb:\n  {AGENT}", tasks)


def test_the_only_agent_does_every_task() -> None:
    report = Report()
    project = bind(classic().project, {}, report)
    assert [task.agent for task in project.tasks] == ["a"]
    assert found(report.mapped) == {("binding", "tasks.t.agent")}


def test_the_request_binds_what_the_files_leave_open_and_wins_over_them() -> None:
    report = Report()
    reading = two_agents(f"t:\n  {TASK}\nu:\n  {TASK}\n  agent: a")
    project = bind(reading.project, {"t": "a", "u": "b"}, report)
    assert [task.agent for task in project.tasks] == ["a", "b"]
    assert report.missing == []


def test_what_stays_unbound_is_reported() -> None:
    report = Report()
    project = bind(two_agents(f"t:\n  {TASK}\nu:\n  {TASK}\n  agent: nobody").project, {}, report)
    assert [task.agent for task in project.tasks] == [None, None]
    assert found(report.missing) == {("agent_unbound", "tasks.t.agent"), ("agent_unknown", "tasks.u.agent")}


def test_a_name_that_is_not_there_is_not_bound_to_the_only_agent() -> None:
    report = Report()
    project = bind(classic(tasks=f"t:\n  {TASK}\n  agent: typo").project, {}, report)
    assert project.tasks[0].agent is None
    assert found(report.missing) == {("agent_unknown", "tasks.t.agent")}


def test_bindings_must_name_what_is_there() -> None:
    with pytest.raises(ProjectError) as caught:
        bind(classic().project, {"x": "a", "t": "y"}, Report())
    assert [fault.message for fault in caught.value.faults] == [
        "bindings: there is no task 'x'",
        "bindings.t: there is no agent 'y'",
    ]
