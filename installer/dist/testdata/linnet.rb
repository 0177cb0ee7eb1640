# linnet's formula for Homebrew. It installs the release's archive and compiles nothing. The archives for macOS hold limactl, in the version
# that linnet is tested with and signed with the entitlement that Apple's Virtualization framework asks for: Homebrew's own lima moves with
# Lima's releases, and building the pinned one here would take Go and a C compiler on every machine.
class Linnet < Formula
  desc "Build, run and compose containers on your own machine"
  homepage "https://github.com/linnet-dev/linnet"
  version "0.1.0"
  license "Apache-2.0"

  on_macos do
    on_intel do
      url "https://github.com/linnet-dev/linnet/releases/download/v0.1.0/linnet-0.1.0-darwin-amd64.tar.gz"
      sha256 "abababababababababababababababababababababababababababababababab"
    end
    on_arm do
      url "https://github.com/linnet-dev/linnet/releases/download/v0.1.0/linnet-0.1.0-darwin-arm64.tar.gz"
      sha256 "abababababababababababababababababababababababababababababababab"
    end
  end

  on_linux do
    on_intel do
      url "https://github.com/linnet-dev/linnet/releases/download/v0.1.0/linnet-0.1.0-linux-amd64.tar.gz"
      sha256 "abababababababababababababababababababababababababababababababab"
    end
    on_arm do
      url "https://github.com/linnet-dev/linnet/releases/download/v0.1.0/linnet-0.1.0-linux-arm64.tar.gz"
      sha256 "abababababababababababababababababababababababababababababababab"
    end
  end

  def install
    # linnet looks for its components in libexec/linnet beside the real place of bin.
    prefix.install Dir["*"]
  end

  def caveats
    <<~EOS
      What linnet keeps is in ~/.linnet. Before you remove the formula: linnet uninstall
    EOS
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/linnet version")
  end
end
