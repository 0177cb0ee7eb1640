package client

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/guest/guesttest"
	"github.com/linnet-dev/linnet/pkg/nerdctl"
)

// hostItself is a guest whose processes are this host's.
type hostItself struct{ *guesttest.Fake }

func (hostItself) Capabilities() guest.Capabilities { return guest.Capabilities{} }
func (hostItself) Path(path string) (guest.Visible, error) {
	return guest.Visible{Path: path}, nil
}

func TestTheSSHAgentByDockersName(t *testing.T) {
	dir := t.TempDir()
	agent := newFar(t, "").file(t, "agent.sock", "")
	for _, c := range []struct {
		guest   guest.Guest
		environ []string
		flag    string
		want    string // the argument, or the error and its hint
	}{
		{hostItself{}, []string{"SSH_AUTH_SOCK=" + agent}, "-v/run/host-services/ssh-auth.sock:/agent", "--volume=" + agent + ":/agent"},
		{hostItself{}, []string{"SSH_AUTH_SOCK=" + agent}, "--mount=type=bind,src=/run/host-services/ssh-auth.sock,dst=/agent", "--mount=type=bind,src=" + agent + ",dst=/agent"},
		{
			hostItself{},
			nil, "-v/run/host-services/ssh-auth.sock:/agent",
			"/run/host-services/ssh-auth.sock is not visible to the engine: there is no SSH agent: SSH_AUTH_SOCK is not set | start one: eval $(ssh-agent); ssh-add",
		},
		{
			hostItself{},
			[]string{"SSH_AUTH_SOCK=/gone"},
			"-v/run/host-services/ssh-auth.sock:/agent",
			"/run/host-services/ssh-auth.sock is not visible to the engine: there is no SSH agent at /gone, which SSH_AUTH_SOCK names | start one: eval $(ssh-agent); ssh-add",
		},
		{
			&guesttest.Fake{Root: dir},
			[]string{"SSH_AUTH_SOCK=" + agent},
			"-v/run/host-services/ssh-auth.sock:/agent",
			"/run/host-services/ssh-auth.sock is not visible to the engine: no share holds it | share it in Fake.Shares", // the guest's own affair
		},
	} {
		inv, err := nerdctl.Parse([]string{"run", c.flag, "image"})
		if err != nil {
			t.Fatal(err)
		}
		client := &Client{Guest: c.guest, Environ: c.environ, Dir: filepath.Dir(agent), Home: dir}
		got := ""
		plan, err := nerdctl.Localize(inv, client.host())
		if err == nil {
			got = plan.Argv(nil)[1]
		} else if hidden := new(guest.NotVisibleError); errors.As(err, &hidden) {
			got = err.Error() + " | " + hidden.Fix
		}
		if got != c.want {
			t.Errorf("%s with %v: %s (%v), want %s", c.flag, c.environ, got, err, c.want)
		}
	}
}
