"""Who am I. Each function is one test."""

from common import HfApi, api, equal, main, raises
from huggingface_hub import whoami
from huggingface_hub.errors import HfHubHTTPError


def who_am_i():
    me = whoami()
    equal((me["name"], me["type"], me["auth"]["accessToken"]["role"]), ("ada", "user", "write"))
    equal({org["name"]: org["roleInOrg"] for org in me["orgs"]}, {"lab": "admin"})
    bad = HfApi(token="hf_" + "x" * 34)
    equal(raises(HfHubHTTPError, bad.whoami).response.status_code, 401)
    equal(raises(HfHubHTTPError, bad.model_info, "ada/x").response.status_code, 401)


def overviews():
    user = api.get_user_overview("ada")
    equal((user.username, [org.name for org in user.orgs]), ("ada", ["lab"]))
    raises(HfHubHTTPError, api.get_user_overview, "nobody-here")
    if hasattr(api, "get_organization_overview"):
        equal(api.get_organization_overview("lab").name, "lab")
    equal({member.username for member in api.list_organization_members("lab")}, {"ada", "bob", "tim"})


if __name__ == "__main__":
    main(globals())
