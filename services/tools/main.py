from services.tools.module import SERVICE
from shared.web.app import create_app

app = create_app(SERVICE)
