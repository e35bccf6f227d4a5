"""httpx2 by itself."""

import httpx2
from plain import main

main(httpx2)
