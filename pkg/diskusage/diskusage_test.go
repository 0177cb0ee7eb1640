package diskusage

import (
	"slices"
	"testing"
)

// sample has two images with a layer in common, one of them in use by a container of docker's.
func sample(t *testing.T) *Usage {
	t.Helper()
	u := &Usage{
		Images: []Image{
			{ID: "sha256:aa", Names: []string{"docker.io/library/a:latest"}, parts: map[string]int64{"base": 100, "a": 10, "linnet base": 300, "docker base": 300}},
			{ID: "sha256:bb", Names: []string{"docker.io/library/b:latest"}, parts: map[string]int64{"base": 100, "b": 20, "linnet base": 300}},
			{ID: "sha256:cc", Names: []string{"docker.io/library/c:latest"}, parts: map[string]int64{"c": 5}},
		},
		Containers: []Container{{Side: Linnet, Name: "one", Image: "docker.io/library/c:latest", Size: 7}},
		Volumes:    []Volume{{Side: Linnet, Name: "used", Active: true, Size: 50}, {Side: Linnet, Name: "free", Size: 60}},
		Caches:     []Cache{{Side: Linnet, Records: 3, Active: 1, Size: 1000, Reclaimable: 400}},
	}
	if err := u.readDocker([]byte(`{
		"Containers": [
			{"Id": "1", "Names": ["/web"], "Image": "a", "ImageID": "sha256:aa", "State": "running", "SizeRw": 3},
			{"Id": "2", "Names": ["/old"], "Image": "gone", "ImageID": "sha256:ff", "State": "exited"}
		],
		"Volumes": [{"Name": "pg", "UsageData": {"Size": 70, "RefCount": 1}}, {"Name": "far", "UsageData": {"Size": -1, "RefCount": 0}}],
		"BuildCache": [{"Size": 8, "InUse": true}, {"Size": 16}, {"Size": 32, "Shared": true}]
	}`)); err != nil {
		t.Fatal(err)
	}
	u.finish()
	return u
}

func TestRows(t *testing.T) {
	want := []Row{
		{Images, 3, 2, 100 + 10 + 20 + 300 + 300 + 5, 20},
		{Containers, 3, 1, 10, 7},
		{Volumes, 4, 2, 180, 60},
		{BuildCache, 6, 2, 1024, 416},
	}
	if got := sample(t).Rows(); !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestImagesSayWhatTheyShareAndWhoUsesThem(t *testing.T) {
	type seen struct {
		id           string
		size, shared int64
		containers   int
	}
	var got []seen
	for _, i := range sample(t).Images {
		got = append(got, seen{i.ID, i.Size, i.Shared, i.Containers})
	}
	if want := []seen{{"sha256:aa", 710, 400, 1}, {"sha256:bb", 420, 400, 0}, {"sha256:cc", 5, 0, 1}}; !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestAnAnswerThatIsNone(t *testing.T) {
	if err := new(Usage).readDocker([]byte("<html>")); err == nil {
		t.Error("it is taken for an answer")
	}
}

func TestVolumesOfAContainer(t *testing.T) {
	for label, labels := range map[string]map[string]string{
		"each":   {"nerdctl/mounts.0": `{"Type":"bind","Source":"/a"}`, "nerdctl/mounts.1": `{"Type":"volume","Name":"data"}`, "nerdctl/name": "one"},
		"a list": {"nerdctl/mounts": `[{"Type":"volume","Name":"data"},{"Type":"tmpfs"}]`},
	} {
		if got := volumesOf(labels); !slices.Equal(got, []string{"data"}) {
			t.Errorf("%s: %q", label, got)
		}
	}
}
