from shared.web.errors import Conflict, Invalid


class AlreadyMember(Conflict):
    code = "already_member"
    message = "This person is a member of the tenant already."


class LastOwner(Conflict):
    code = "last_owner"
    message = "A tenant needs an owner: make somebody else one first."


class NewPersonIncomplete(Invalid):
    code = "new_person_incomplete"
    message = "Nobody has this address yet: give display_name and password to make an account."
