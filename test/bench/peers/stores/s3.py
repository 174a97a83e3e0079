import http.client
import os
from urllib.parse import urlsplit

import boto3
import numpy as np
from botocore.config import Config

from peer import Store, free_port, running, wait_for

BUCKET = "bench"
SECRET = "bench-of-optistore"


class S3(Store):
    """An S3 server on this machine, and boto3; an object a result, its batches one behind the other. The server makes no fsync.

    By single calls: boto3's transfers in parts are no faster for 1 GB, and a third as fast for small objects.
    """

    name = "s3"
    title = "S3 (versitygw, no fsync) by boto3"

    def figures(self):
        """`given` is the server's program."""
        port = free_port()
        environment = {**os.environ, "ROOT_ACCESS_KEY": BUCKET, "ROOT_SECRET_KEY": SECRET}
        command = [self.given, "--quiet", "--keep-alive", "--port", f"127.0.0.1:{port}", "posix", self.folder]
        with running(*command, env=environment, stdout=2) as server:
            wait_for(server, port)
            keys = {"aws_access_key_id": BUCKET, "aws_secret_access_key": SECRET, "region_name": "us-east-1", "config": Config(signature_version="s3v4")}
            self.client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", **keys)
            self.client.create_bucket(Bucket=BUCKET)
            yield from super().figures()
            size = self.client.head_object(Bucket=BUCKET, Key="large")["ContentLength"]
            yield self.figure("plain_load", "load of 1 GB by one plain GET", "MB/s", size / 1e6, lambda: self.get(size))

    def prepared(self, batches):
        return b"".join(values.data for batch in batches for values in batch.values())

    def save(self, key, result):
        self.client.put_object(Bucket=BUCKET, Key=key, Body=result)

    def load(self, key):
        return np.frombuffer(self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()).nbytes

    def get(self, size):
        """By a URL that needs no more than a GET, into an array of 1 MiB, again and again."""
        url = urlsplit(self.client.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "large"}))
        connection = http.client.HTTPConnection(url.netloc)
        connection.request("GET", f"{url.path}?{url.query}")
        values = np.empty(2**17)
        response = connection.getresponse()
        loaded = 0
        while count := response.readinto(memoryview(values).cast("B")):
            loaded += count
        if response.status != 200 or loaded != size:
            raise ValueError(f"{loaded} bytes of {size} came back: {response.status}")
        connection.close()
