package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/types"
)

// ServiceHash is the digest of a service's configuration that a container keeps: another one is a reason to make it anew. As docker
// compose has it, everything of a service counts but how its image comes, how many containers there are, what it depends on and its profiles.
func ServiceHash(s *types.ServiceConfig) string { return digest(serviceText(s)) }

// notHashed are the keys that do not count.
var notHashed = []string{"build", "depends_on", "profiles", "pull_policy", "scale"}

// serviceText is what counts of a service, a line for each key, in the order of their names: another order of compose-go's fields is no other
// configuration.
func serviceText(s *types.ServiceConfig) []byte {
	var b bytes.Buffer
	v := reflect.ValueOf(s).Elem()
	for _, key := range serviceKeys() {
		value := v.FieldByIndex(key.index)
		if value.IsZero() || key.omitEmpty && isEmpty(value) {
			continue
		}
		text := encode(value.Interface())
		if key.name == "deploy" {
			deploy := *s.Deploy
			deploy.Replicas = nil
			text = encode(&deploy)
		}
		fmt.Fprintf(&b, "%s:%s\n", key.name, text)
	}
	return b.Bytes()
}

// field is a key of a service in compose-go's type.
type field struct {
	name      string
	index     []int
	omitEmpty bool
}

// serviceKeys are the keys of a service that count, by name.
var serviceKeys = sync.OnceValue(func() (all []field) {
	t := reflect.TypeFor[types.ServiceConfig]()
	fields(t, func(index []int, name string) {
		if !slices.Contains(notHashed, name) {
			all = append(all, field{name, index, strings.Contains(t.FieldByIndex(index).Tag.Get("json"), ",omitempty")})
		}
	})
	slices.SortFunc(all, func(a, b field) int { return strings.Compare(a.name, b.name) })
	return all
})

// NetworkHash is the digest of a network's configuration, its name among it.
func NetworkHash(n *types.NetworkConfig) string { return digest(encode(n)) }

// VolumeHash is the digest of a volume's configuration, its name among it.
func VolumeHash(v *types.VolumeConfig) string {
	c := *v
	if c.Driver == "" {
		c.Driver = "local"
	}
	return digest(encode(&c))
}

// encode is a value in JSON; one that cannot be written there, as a number that is none, has the digest of nothing.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return text
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// keyDigests are short digests of a service's keys, as KeysLabel has them: "command=01234567,image=89abcdef". The text is serviceText's.
func keyDigests(service []byte) string {
	var b strings.Builder
	for line := range bytes.Lines(service) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		key, value, _ := bytes.Cut(line, []byte(":"))
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.Write(key)
		b.WriteString("=" + digest(value)[:8])
	}
	return b.String()
}

// changedKeys names the keys in which two lists of digests differ; none when one of the lists is not known.
func changedKeys(old, now string) (changed []string) {
	if old == "" || now == "" {
		return nil
	}
	was, is := parseDigests(old), parseDigests(now)
	for key, sum := range was {
		if is[key] != sum {
			changed = append(changed, key)
		}
	}
	for key := range is {
		if _, there := was[key]; !there {
			changed = append(changed, key)
		}
	}
	slices.Sort(changed)
	return changed
}

func parseDigests(list string) map[string]string {
	all := map[string]string{}
	for item := range strings.SplitSeq(list, ",") {
		key, sum, _ := strings.Cut(item, "=")
		all[key] = sum
	}
	return all
}
