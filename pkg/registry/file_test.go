package registry

import (
	"testing"

	"github.com/linnet-dev/linnet/pkg/guest"
)

// Older programs filed Docker Hub under its names rather than its address; under other addresses of it are other tokens.
func TestHubIsFoundUnderItsNames(t *testing.T) {
	for name, want := range map[string]guest.Credentials{
		hubKey: {Username: "u", Secret: "p"}, Hub: {Username: "u", Secret: "p"}, hubHost: {Username: "u", Secret: "p"},
		"https://" + hubHost + "/access-token": {},
	} {
		f := file{Auths: map[string]auth{name: {Username: "u", Password: "p"}}}
		if got, err := f.find(hubKey); err != nil || got != want {
			t.Errorf("filed under %s: %+v, %v", name, got, err)
		}
	}
}

func TestAnEntryNeedsAUser(t *testing.T) {
	f := file{name: "config.json", Auths: map[string]auth{"reg.example": {Auth: "OnBhc3N3b3Jk"}}} // :password
	_, err := f.find("reg.example")
	const want = "reading config.json: auths: reg.example: auth is not the base64 of user:password"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
