"""A hub on the loopback address, with the file API that `huggingface_hub` uses.

Repositories are dicts of name -> content in memory. Names in `LARGE` are stored like
large files on the Hub: identified by their SHA-256, and served by a redirect.
"""

import base64
import hashlib
import http.server
import json
import re
import threading
import urllib.parse

import pytest
from huggingface_hub import constants

LARGE = (".safetensors", ".h5", ".bin")


class Repository:
    """Revisions of files.

    Args:
        files: Dict of name -> bytes, on the branch main.
        private: Whether a token is required.
        gated: Whether terms must have been accepted.
    """

    def __init__(self, files, *, private=False, gated=False):
        self.private, self.gated = private, gated
        self.commits, self.refs = {}, {}
        self.commit(files)

    def commit(self, files, ref="main"):
        """Adds a revision and returns its commit hash."""
        listed = json.dumps({n: git_hash(c) for n, c in sorted(files.items())})
        commit = hashlib.sha1(listed.encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.refs[ref] = commit
        return commit

    def resolve(self, revision):
        """The commit that a revision names, or None."""
        revision = self.refs.get(revision, revision)
        return revision if revision in self.commits else None


class Hub(http.server.ThreadingHTTPServer):
    """The server.

    Attributes:
        repositories: Dict of ORG/NAME -> `Repository`.
        token: The token with access to everything.
        requests: List of (method, path, value of `Range`) of all requests.
        sent: List of the names of the files that were sent.
        cut: Dict of name -> number of bytes after which the connection ends, once.
        forged: Dict of name -> bytes to send in place of the file.
        broken: Status of every response, or None.
        page: Bytes of HTML that answer every request, or None.
        prefix: Path before all addresses, as of a mirror that is not alone on its host.
        uploads: Dict of SHA-256 -> uploaded bytes that await a commit.
    """

    daemon_threads = True
    token = "hf_of_the_test"

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories, self.uploads, self.broken = {}, {}, None
        self.requests, self.sent, self.cut, self.forged = [], [], {}, {}
        self.page, self.prefix = None, ""

    def add(self, name, files, **options):
        """Adds a `Repository` and returns it."""
        self.repositories[name] = Repository(files, **options)
        return self.repositories[name]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}{self.prefix}"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A `Hub` that the client in this process contacts, and an empty cache.

    The client reads `HF_ENDPOINT` and similar variables into `constants` on import.
    """
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        template = "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + template
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


def git_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def etag(name, content):
    if name.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return git_hash(content)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self):
        self.close_connection = False
        length = int(self.headers.get("Content-Length", 0))
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            self.body = b"".join(self._chunks())
        else:
            self.body = self.rfile.read(length)
        self.path = urllib.parse.unquote(self.path.split("?")[0])
        if self.server.broken:
            self._refuse(self.server.broken, "Broken")
            return
        asked = (self.command, self.path, self.headers.get("Range"))
        self.server.requests.append(asked)
        if self.server.page is not None:
            self._send("page", self.server.page, {"Content-Type": "text/html"})
            return
        if not self.path.startswith(self.server.prefix):
            self._refuse(404, "EntryNotFound")
            return
        self.path = self.path.removeprefix(self.server.prefix)
        for methods, pattern, answer in _ROUTES:
            found = re.fullmatch(pattern, self.path)
            if found and self.command in methods:
                answer(self, *found.groups())
                return
        self._refuse(404, "EntryNotFound")

    def _chunks(self):
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _repository(self, name):
        """The repository, or None after answering with an error."""
        repository = self.server.repositories.get(name)
        known = self.headers.get("Authorization") == f"Bearer {self.server.token}"
        if repository is None or (repository.private and not known):
            self._refuse(404 if known else 401, "RepoNotFound")
        elif repository.gated:
            self._refuse(403, "GatedRepo")
        else:
            return repository
        return None

    def _commit_of(self, name, revision):
        repository = self._repository(name)
        if repository is None:
            return None, {}
        commit = repository.resolve(revision or "main")
        if commit is None:
            self._refuse(404, "RevisionNotFound")
            return None, {}
        return commit, repository.commits[commit]

    def _info(self, name, revision):
        commit, files = self._commit_of(name, revision)
        if commit:
            siblings = [{"rfilename": file} for file in files]
            self._json({"id": name, "sha": commit, "siblings": siblings})

    def _tree(self, name, revision):
        commit, files = self._commit_of(name, revision)
        if commit:
            self._json([_listed(file, content) for file, content in files.items()])

    def _resolve(self, name, revision, file):
        commit, files = self._commit_of(name, revision)
        if not commit:
            return
        if file not in files:
            self._refuse(404, "EntryNotFound", commit)
            return
        content = files[file]
        if not file.endswith(LARGE):
            headers = {"X-Repo-Commit": commit, "ETag": f'"{etag(file, content)}"'}
            self._send(file, content, headers)
            return
        self.send_response(302)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("X-Linked-Etag", f'"{etag(file, content)}"')
        self.send_header("X-Linked-Size", str(len(content)))
        # Another host, as on the real Hub for large files
        address = f"http://localhost:{self.server.server_port}{self.server.prefix}"
        self.send_header("Location", f"{address}/large/{name}/{commit}/{file}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _large(self, name, commit, file):
        if "Authorization" in self.headers:
            self._refuse(400, "TokenGivenAway")
            return
        content = self.server.repositories[name].commits[commit][file]
        self._send(file, content, {})

    def _send(self, file, content, headers):
        size = len(content)
        if self.command == "GET":
            self.server.sent.append(file)
            content = self.server.forged.get(file, content)
        begin = int(re.findall(r"\d+", self.headers.get("Range", "0"))[0])
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{size - 1}/{size}"
        self.send_response(206 if begin else 200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        if self.command == "GET":
            end = self.server.cut.pop(file, len(content))
            self.wfile.write(content[begin:end])
            self.close_connection = end < len(content)

    def _create(self):
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self._refuse(401, "Unauthorized")
            return
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        # Versions of the client before 2 use a boolean.
        private = asked.get("visibility") == "private" or asked.get("private", False)
        self.server.repositories.setdefault(name, Repository({}, private=private))
        self._json({"url": f"{self.server.url}/{name}", "name": name})

    def _validate(self):
        self._json({"errors": [], "warnings": []})

    def _preupload(self, name, revision):
        if self._repository(name):
            paths = [file["path"] for file in json.loads(self.body)["files"]]
            mode = ["lfs" if p.endswith(LARGE) else "regular" for p in paths]
            found = zip(paths, mode, strict=True)
            self._json(
                {
                    "files": [
                        {"path": p, "uploadMode": m, "shouldIgnore": False}
                        for p, m in found
                    ]
                }
            )

    def _batch(self, name):
        objects = json.loads(self.body)["objects"]
        for item in objects:
            href = f"{self.server.url}/uploads/{item['oid']}"
            item["actions"] = {"upload": {"href": href, "header": {}}}
        self._json({"transfer": "basic", "objects": objects})

    def _upload(self, oid):
        self.server.uploads[oid] = self.body
        self._json({})

    def _commit(self, name, revision):
        repository = self._repository(name)
        if repository is None:
            return
        files = dict(repository.commits[repository.refs["main"]])
        for line in self.body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.server.uploads[value["oid"]]
        commit = repository.commit(files, revision)
        url = f"{self.server.url}/{name}/commit/{commit}"
        self._json({"success": True, "commitOid": commit, "commitUrl": url})

    def _json(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status, code, commit=None):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        if commit:
            self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", "0")
        self.end_headers()


# (methods, address, response); the first match applies
_ROUTES = (
    ("GET", r"/large/([^/]+/[^/]+)/([^/]+)/(.+)", _Handler._large),
    ("GET", r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", _Handler._tree),
    ("GET", r"/api/models/([^/]+/[^/]+?)(?:/revision/(.+))?", _Handler._info),
    ("POST", r"/api/validate-yaml", _Handler._validate),
    ("POST", r"/api/repos/create", _Handler._create),
    ("POST", r"/api/models/([^/]+/[^/]+)/preupload/(.+)", _Handler._preupload),
    ("POST", r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", _Handler._batch),
    ("POST", r"/api/models/([^/]+/[^/]+)/commit/(.+)", _Handler._commit),
    ("PUT", r"/uploads/(\w+)", _Handler._upload),
    ("GET HEAD", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", _Handler._resolve),
)


def _listed(name, content):
    entry = {"type": "file", "path": name, "oid": git_hash(content)}
    entry["size"] = len(content)
    if name.endswith(LARGE):
        oid = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 130}
    return entry
