"""Libraries of the system as Bazel targets: flags from pkg-config, headers from the compiler's own folders."""

def _flags(repository_ctx, arguments):
    result = repository_ctx.execute(["pkg-config"] + arguments)
    if result.return_code != 0:
        fail("pkg-config %s: %s (./run setup installs what is missing)" % (" ".join(arguments), result.stderr.strip()))
    return [f for f in result.stdout.replace("\n", " ").split(" ") if f]

def _system_libraries_impl(repository_ctx):
    build = ['package(default_visibility = ["//visibility:public"])']
    for name, packages in repository_ctx.attr.libraries.items():
        linkopts = [p for p in packages if p.startswith("-")]
        packages = [p for p in packages if not p.startswith("-")]
        cflags = []
        if packages:
            cflags = _flags(repository_ctx, ["--cflags"] + packages)
            linkopts += _flags(repository_ctx, ["--libs"] + packages)
        build.append("cc_library(name = %r, defines = %r, linkopts = %r)" % (
            name,
            [f[2:] for f in cflags if f.startswith("-D")],
            linkopts,
        ))
    repository_ctx.file("BUILD", "\n".join(build) + "\n")

system_libraries = repository_rule(
    implementation = _system_libraries_impl,
    attrs = {"libraries": attr.string_list_dict(mandatory = True)},
    environ = ["PATH", "PKG_CONFIG_PATH"],
    local = True,
)
