"""The container's health check: exit 0 when the daemon is ready. The slim image has no curl."""

import os
import sys
import urllib.request

URL = os.environ.get("RESPONDER_HEALTH_URL", "http://127.0.0.1:9920/-/ready")

try:
    with urllib.request.urlopen(URL, timeout=4) as answer:
        sys.exit(0 if answer.status == 200 else 1)
except OSError as error:
    sys.exit(f"{URL}: {error}")
