package guestimage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	one   = Digest("sha256:1111111111111111111111111111111111111111111111111111111111111111")
	other = Digest("sha256:1112222222222222222222222222222222222222222222222222222222222222")
)

// put makes images in a store, without contents.
func put(t *testing.T, s *Store, all ...Digest) {
	t.Helper()
	for _, d := range all {
		if err := os.MkdirAll(s.Dir(d), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.Dir(d), manifest), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnImageIsFoundByTheBeginningOfItsDigest(t *testing.T) {
	s := store(t)
	if _, err := s.Find("1"); told(err) != "there is no image \"1\"\nhint: linnet vm image ls" {
		t.Errorf("in an empty store: %s", told(err))
	}
	put(t, s, one, other)
	for typed, want := range map[string]Digest{"1111": one, "sha256:1112": other, string(one): one} {
		if got, err := s.Find(typed); err != nil || got != want {
			t.Errorf("%s: %s, %v", typed, got, err)
		}
	}
	for typed, want := range map[string]string{
		"111":  "\"111\" is the beginning of 2 images' digests\nhint: type more of it: linnet vm image ls",
		"":     "there is no image \"\"\nhint: linnet vm image ls",
		"2222": "there is no image \"2222\"\nhint: linnet vm image ls",
	} {
		if _, err := s.Find(typed); told(err) != want {
			t.Errorf("%q: %s", typed, told(err))
		}
	}
}

func TestPruneKeepsWhatIsWanted(t *testing.T) {
	s := store(t)
	put(t, s, one, other)
	if err := os.WriteFile(s.layout.ImagePart(other.Hex()), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Prune(t.Context(), func(d Digest) bool { return d == one }); err != nil {
		t.Fatal(err)
	}
	if names := left(t, s); len(names) != 1 || !s.Has(one) {
		t.Errorf("%q is left", names)
	}
	if err := s.Remove(t.Context(), one, nil); err != nil || len(left(t, s)) > 0 {
		t.Errorf("%q is left, %v", left(t, s), err)
	}
}

func TestSourcesAreRead(t *testing.T) {
	for text, want := range map[string]Source{
		"https://example.com/a.tar.zst":          {URL: "https://example.com/a.tar.zst"},
		"https://example.com/a?b#" + string(one): {URL: "https://example.com/a?b", Digest: one},
		"http://127.0.0.1:8000/a":                {URL: "http://127.0.0.1:8000/a"},
		"http://[::1]/a":                         {URL: "http://[::1]/a"},
		"http://localhost/a":                     {URL: "http://localhost/a"},
		"/images/../a.tar.zst":                   {Path: "/a.tar.zst"},
		"~/a#" + string(one):                     {Path: "/home/ada/a", Digest: one},
		string(one):                              {Digest: one},
	} {
		if got, err := ParseSource(text, "/home/ada"); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"http://example.com/a":              "http://example.com/a is not reached over https\nhint: use https; http is for this very host alone (127.0.0.1)",
		"http://127.0.0.1.example.com/":     "http://127.0.0.1.example.com/ is not reached over https\nhint: use https; http is for this very host alone (127.0.0.1)",
		"ftp://example.com/a":               "ftp://example.com/a is not reached over https\nhint: use https; http is for this very host alone (127.0.0.1)",
		"https://a:b@example.com/":          "a URL with a user or a password is not taken: it would be shown and kept\nhint: serve it without one, or fetch it yourself: linnet vm image import FILE",
		"https:///a":                        "\"https:///a\" names no host\nhint: write it like https://example.com/linnet-guest-1.0.0-amd64.tar.zst",
		"https://example.com/%zz":           "\"https://example.com/%zz\" is no URL\nhint: write it like https://example.com/linnet-guest-1.0.0-amd64.tar.zst",
		"image":                             "\"image\" is neither a URL nor a path from / or ~ on\nhint: write it in full",
		"/a#sha256:1":                       "\"sha256:1\" is not a digest\nhint: write it as sha256: and 64 hexadecimal digits",
		"sha256:" + strings.Repeat("A", 64): "\"sha256:" + strings.Repeat("A", 64) + "\" is not a digest\nhint: write it as sha256: and 64 hexadecimal digits",
	} {
		if _, err := ParseSource(text, "/home/ada"); told(err) != want {
			t.Errorf("%s: %s", text, told(err))
		}
	}
}

func TestAReleaseKnowsItsImages(t *testing.T) {
	r := Release{Version: "v1.2.3", Digests: map[string]Digest{"amd64": one}}
	want := Source{URL: "https://github.com/linnet-dev/linnet/releases/download/v1.2.3/linnet-guest-1.2.3-amd64.tar.zst", Digest: one}
	if got, err := r.Source("amd64"); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := r.Source("arm64"); err == nil {
		t.Error("it has one for arm64")
	}
	if r := OwnRelease("dev"); len(r.Digests) > 0 {
		t.Errorf("this build has %+v", r)
	}
	for text, want := range map[string]string{
		"https://example.com/a": "https://example.com/a has no digest, and a development build knows none: what comes from there could be anything\nhint: write the digest behind it: #sha256: and 64 hexadecimal digits",
		"/a":                    "\"/a\" is no URL\nhint: linnet vm image import FILE takes a file",
	} {
		if _, err := OwnRelease("dev").Complete(text, "amd64"); told(err) != want {
			t.Errorf("%s: %s", text, told(err))
		}
	}
	if s, err := r.Complete("https://example.com/a", "amd64"); err != nil || s.Digest != one {
		t.Errorf("a mirror of the release: %+v, %v", s, err)
	}
}

// What is set goes before what came with the client, and that before what can be fetched.
func TestTheImageIsChosenInOrder(t *testing.T) {
	s := store(t)
	data, d := pack(t)
	packed, beside, missing := file(t, data).Name(), directory(t), filepath.Join(t.TempDir(), "none")
	release := Release{Version: "1.0.0", Digests: map[string]Digest{"amd64": one}}
	put(t, s, other)
	for _, c := range []struct {
		name string
		wish Wish
		want Choice
	}{
		{"nothing set", Wish{Beside: beside, Release: release}, Choice{Dir: beside, There: true}},
		{"nothing there", Wish{Beside: missing, Release: release}, Choice{Dir: s.Dir(one), Digest: one}},
		{"a directory", Wish{Setting: beside, Beside: missing}, Choice{Dir: beside, There: true}},
		{"a file", Wish{Setting: packed, Beside: beside}, Choice{Dir: s.Dir(d), Digest: d}},
		{"a digest", Wish{Setting: string(other), Beside: beside}, Choice{Dir: s.Dir(other), Digest: other, There: true}},
		{"a URL", Wish{Setting: "https://example.com/a#" + string(other), Beside: beside}, Choice{Dir: s.Dir(other), Digest: other, There: true}},
		{"a mirror", Wish{Setting: "https://example.com/a", Beside: beside, Release: release}, Choice{Dir: s.Dir(one), Digest: one}},
		{"a file that was taken", Wish{Setting: missing + "#" + string(other)}, Choice{Dir: s.Dir(other), Digest: other, There: true}},
	} {
		c.wish.Arch = "amd64"
		got, err := s.Choose(t.Context(), c.wish)
		got.Source = Source{}
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
	for _, c := range []struct {
		wish Wish
		want string
	}{
		{Wish{Beside: missing}, "this is a development build, which knows no image to fetch\nhint: `make image` in its sources, or set vm.image"},
		{Wish{Setting: missing}, missing + ": no such file or directory\nhint: name a packed image, or the directory of an unpacked one"},
		{Wish{Setting: string(one)}, "the image " + string(one) + " is not here\nhint: linnet vm image import FILE, or set vm.image to where it is"},
		{Wish{Setting: "https://example.com/a"}, "https://example.com/a has no digest, and a development build knows none: what comes from there could be anything\nhint: write the digest behind it: #sha256: and 64 hexadecimal digits"},
	} {
		c.wish.Arch = "amd64"
		if _, err := s.Choose(t.Context(), c.wish); told(err) != c.want {
			t.Errorf("%+v: %s", c.wish, told(err))
		}
	}
}

func TestAFileIsFetchedByItsDigest(t *testing.T) {
	s := store(t)
	data, d := pack(t)
	path := file(t, data).Name()
	if err := s.Fetch(t.Context(), Source{Path: path, Digest: d}, nil); err != nil || !s.Has(d) {
		t.Error(told(err))
	}
	want := "its digest is " + string(d) + ", and " + string(one) + " is expected; nothing of it is used\nhint: take the file that belongs to this linnet; one that you trust is taken by its own digest"
	if err := s.Fetch(t.Context(), Source{Path: path, Digest: one}, nil); told(err) != want {
		t.Error(told(err))
	}
}
