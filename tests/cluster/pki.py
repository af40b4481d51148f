"""The certificates of one cluster: EC P-256 by the openssl program, two authorities (cluster, front proxy), kubeconfigs."""
import base64
import os
import subprocess


class Pki:
    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, mode=0o700, exist_ok=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def openssl(self, *arguments, **options):
        subprocess.run(("openssl",) + arguments, cwd=self.folder, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, **options)

    def key(self, name):
        self.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", name + ".key")

    def authority(self, name):
        self.key(name)
        self.openssl("req", "-x509", "-new", "-key", name + ".key", "-subj", "/CN=" + name, "-days", "3650", "-out", name + ".crt",
                     "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,digitalSignature")

    def leaf(self, name, authority, subject, names=""):
        self.key(name)
        with open(self.path(name + ".ext"), "w") as f:
            f.write("keyUsage=digitalSignature\nextendedKeyUsage=clientAuth,serverAuth\n")
            if names:
                f.write("subjectAltName=" + names + "\n")
        self.openssl("req", "-new", "-key", name + ".key", "-subj", subject, "-out", name + ".csr")
        self.openssl("x509", "-req", "-in", name + ".csr", "-CA", authority + ".crt", "-CAkey", authority + ".key", "-CAcreateserial",
                     "-days", "3650", "-extfile", name + ".ext", "-out", name + ".crt")

    def service_account_key(self):
        self.key("sa")
        self.openssl("ec", "-in", "sa.key", "-pubout", "-out", "sa.pub")

    def make(self, host, service_address):
        self.authority("ca")
        self.authority("front-proxy-ca")
        self.leaf("apiserver", "ca", "/CN=kube-apiserver",
                  "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,"
                  "DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:%s,IP:%s" % (host, service_address))
        self.leaf("admin", "ca", "/O=system:masters/CN=admin")
        self.leaf("kubelet", "ca", "/O=system:masters/CN=process-kubelet")
        self.leaf("kcm", "ca", "/CN=system:kube-controller-manager", "DNS:localhost,IP:127.0.0.1")
        self.leaf("front-proxy-client", "front-proxy-ca", "/CN=front-proxy-client")
        self.service_account_key()

    def data(self, name):
        with open(self.path(name), "rb") as f:
            return base64.b64encode(f.read()).decode()

    def kubeconfig(self, user, server, path):
        with open(path, "w", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
            f.write("""apiVersion: v1
kind: Config
current-context: cluster
clusters: [{name: cluster, cluster: {server: "%s", certificate-authority-data: %s}}]
users: [{name: %s, user: {client-certificate-data: %s, client-key-data: %s}}]
contexts: [{name: cluster, context: {cluster: cluster, user: %s}}]
""" % (server, self.data("ca.crt"), user, self.data(user + ".crt"), self.data(user + ".key"), user))
