"""The container's health check: exit 0 when the daemon is ready. The slim image has no curl."""

import http.client
import os
import sys

ADDRESS = os.environ.get("RESPONDER_HEALTH_ADDRESS", "127.0.0.1:9920")

try:
    connection = http.client.HTTPConnection(ADDRESS, timeout=4)
    connection.request("GET", "/-/ready")
    status = connection.getresponse().status
except (OSError, http.client.HTTPException) as error:
    sys.exit(f"{ADDRESS}: {error}")
sys.exit(0 if status == 200 else f"{ADDRESS} answered {status}")
