"""One archive that brings a package and all it needs to a device, and its verified unpacking.

::

    from edgeagent.bundle.install import install_bundle
    from edgeagent.bundle.write import BundleSettings, write_bundle

    written = write_bundle(package, out, BundleSettings(suite=load_suite("core")))
    installed = install_bundle(written.path, folder)

`docs/bundle.md` describes the format and why it is as it is.
"""
