from services.workflows.module import SERVICE
from shared.workflow.configs import NODE_CONFIGS
from tests.support.platform import Account, Platform


async def test_node_types_are_told_with_the_schemas_of_their_configs(platform: Platform, ada: Account) -> None:
    client = await platform.client(SERVICE, ada)
    answer = await client.get("/api/v1/node-types")
    assert answer.status_code == 200
    told = answer.json()
    assert told["next_cursor"] is None
    by_name = {each["type"]: each for each in told["items"]}
    assert list(by_name) == list(NODE_CONFIGS)
    approval = by_name["approval"]
    assert approval["title"] == "Approval"
    assert "Output:" in approval["description"]
    assert approval["config_schema"]["properties"]["title"]["x-syntax"] == "template"
    assert approval["ports"] == ["approved", "rejected"]
    assert approval["waits"] == ["approval"]

    viewer = await platform.join(ada, "viewer")
    assert (await client.get("/api/v1/node-types", headers=viewer.headers)).status_code == 200
    assert (await client.get("/api/v1/node-types", headers={"Authorization": ""})).status_code == 401
