"""Asks a service that is alive but not ready: unready_clients.py PORT PART; exit status 77: the client is missing.

PART: tritonclient or kserve.
"""

import asyncio
import sys

from client_packages import import_or_skip

PORT, PART = sys.argv[1:]
HOST = f"127.0.0.1:{PORT}"


def try_tritonclient():
    triton = import_or_skip("tritonclient.http", "tritonclient[http]")
    client = triton.InferenceServerClient(HOST)
    assert client.is_server_live() is True
    assert client.is_server_ready() is False
    assert client.is_model_ready("m") is False
    client.close()


def try_kserve():
    import_or_skip("kserve")
    from httpx import HTTPStatusError
    from kserve import InferenceRESTClient, RESTConfig

    async def speak():
        client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
        base = "http://" + HOST
        assert await client.is_server_live(base) is True
        assert await client.is_model_ready(base, "m") is False
        # KServe's own servers answer with 503, too, for which its client documents this exception.
        try:
            await client.is_server_ready(base)
            raise AssertionError("no exception")
        except HTTPStatusError as error:
            assert error.response.status_code == 503, error
            assert error.response.json() == {"ready": False}, error

    asyncio.run(speak())


{"tritonclient": try_tritonclient, "kserve": try_kserve}[PART]()
print(PART + " works")
