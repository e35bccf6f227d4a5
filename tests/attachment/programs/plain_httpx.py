"""httpx by itself."""

import httpx
from plain import main

main(httpx)
