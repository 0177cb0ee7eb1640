#!/bin/sh
# Makes the .pkg of an archive for macOS, on a Mac:
#
#	installer/macos/pkg.sh linnet-VERSION-darwin-ARCH.tar.gz [TO.pkg]
#
# What the archive holds goes below /usr/local: installer/macos/contents.txt lists it, and an archive with other files is refused. No script
# runs when it is installed. In the environment:
#
#	LINNET_SIGN_IDENTITY     signs the programs ("Developer ID Application: ..."); without it they keep the signatures that they have
#	LINNET_PKG_IDENTITY      signs the package ("Developer ID Installer: ..."); without it Finder refuses to open what a browser fetched
#	LINNET_NOTARY_PROFILE    a keychain profile of notarytool; with it the package is notarized, and the ticket stapled to it
set -eu

fail() {
	echo "pkg: $1" >&2
	echo "hint: $2" >&2
	exit 1
}

[ $# -ge 1 ] || fail 'name an archive' 'installer/macos/pkg.sh _output/dist/linnet-VERSION-darwin-arm64.tar.gz'
here=$(cd "$(dirname "$0")" && pwd)
archive=$1
name=$(basename "$archive" .tar.gz)
to=${2:-$(dirname "$archive")/$name.pkg}
case $name in
linnet-*-darwin-arm64) arch=arm64 machine=aarch64 hosts=arm64 ;;
linnet-*-darwin-amd64) arch=amd64 machine=x86_64 hosts=x86_64 ;;
*) fail "$archive is no archive of linnet's for macOS" 'make dist makes them' ;;
esac
version=${name#linnet-}
version=${version%"-darwin-$arch"}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$work/root"
tar -C "$work/root" -xzf "$archive"

# Pages are many, and one line stands for them.
sed -e '/^#/d' -e "s/{machine}/$machine/" "$here/contents.txt" | LC_ALL=C sort >"$work/want"
(cd "$work/root" && find . ! -type d) | sed -e 's|^\./||' -e 's|^share/man/man1/.*|share/man/man1/*|' -e 's|^share/doc/linnet/docs/.*|share/doc/linnet/docs/*|' | LC_ALL=C sort -u >"$work/have"
diff "$work/want" "$work/have" >&2 || fail "$archive does not hold what contents.txt lists" 'installer/macos/limactl.sh builds limactl; another file has to be listed first'

command -v pkgbuild >/dev/null || fail 'there is no pkgbuild' 'packages for macOS are made on a Mac'
if [ -n "${LINNET_SIGN_IDENTITY:-}" ]; then
	for program in "$work"/root/bin/*; do
		codesign --force --options runtime --timestamp --sign "$LINNET_SIGN_IDENTITY" "$program"
	done
	codesign --force --options runtime --timestamp --entitlements "$here/limactl.entitlements" \
		--sign "$LINNET_SIGN_IDENTITY" "$work/root/libexec/linnet/bin/limactl"
fi

pkgbuild --root "$work/root" --identifier dev.linnet.linnet --version "$version" --install-location /usr/local --ownership recommended "$work/linnet.pkg"
cat >"$work/distribution.xml" <<XML
<?xml version="1.0" encoding="utf-8"?>
<installer-gui-script minSpecVersion="2">
	<title>linnet</title>
	<options customize="never" require-scripts="false" hostArchitectures="$hosts"/>
	<volume-check><allowed-os-versions><os-version min="13.0"/></allowed-os-versions></volume-check>
	<choices-outline><line choice="linnet"/></choices-outline>
	<choice id="linnet" title="linnet"><pkg-ref id="dev.linnet.linnet"/></choice>
	<pkg-ref id="dev.linnet.linnet" version="$version">linnet.pkg</pkg-ref>
</installer-gui-script>
XML
productbuild --distribution "$work/distribution.xml" --package-path "$work" \
	${LINNET_PKG_IDENTITY:+--sign "$LINNET_PKG_IDENTITY" --timestamp} "$work/whole.pkg"
if [ -n "${LINNET_NOTARY_PROFILE:-}" ]; then
	xcrun notarytool submit "$work/whole.pkg" --keychain-profile "$LINNET_NOTARY_PROFILE" --wait
	xcrun stapler staple "$work/whole.pkg"
fi
mv -f "$work/whole.pkg" "$to"
echo "pkg: $to" >&2
