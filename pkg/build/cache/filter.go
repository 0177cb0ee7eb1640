package cache

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/linnet-dev/linnet/pkg/build/options"
)

// filterKeys are what BuildKit tells records apart by when it prunes; those of truth are true or false.
var filterKeys = []struct {
	name  string
	truth bool
}{
	{"id", false},
	{"description", false},
	{ofType, false},
	{"mutable", true},
	{"immutable", true},
	{"shared", true},
	{"private", true},
}

// AddFilter adds a filter in docker's terms: until=24h (or unused-for), type=mount or docker's
// exec.cachemount, id=..., description~=..., shared=false and so on.
func (p *Prune) AddFilter(text string) error {
	key, value, given := strings.Cut(text, "=")
	if key == "until" || key == "unused-for" {
		age, err := time.ParseDuration(value)
		if err != nil || age < 0 {
			return options.FlagError("filter", text, fmt.Errorf("%q is not a duration", value), "until=24h")
		}
		p.Unused = age
		return nil
	}
	operator := "=="
	switch {
	case strings.HasSuffix(key, "!"):
		key, operator = strings.TrimSuffix(key, "!"), "!="
	case strings.HasSuffix(key, "~"):
		key, operator = strings.TrimSuffix(key, "~"), "~="
	case key == "id":
		operator = "~=" // a part of it will do, as with docker
	}
	for _, k := range filterKeys {
		if k.name != key {
			continue
		}
		if k.truth {
			return p.addTruth(text, key, value, given)
		}
		if !given || value == "" {
			return options.FlagError("filter", text, errors.New("the value is missing"), key+"=VALUE")
		}
		p.Filters = append(p.Filters, condition(key, operator, value))
		return nil
	}
	return options.FlagError("filter", text, fmt.Errorf("there is no filter %q", key), "until=24h, type=mount, id=ID, description~=TEXT, shared, private, mutable")
}

func (p *Prune) addTruth(text, key, value string, given bool) error {
	want := true
	if given {
		var err error
		if want, err = strconv.ParseBool(value); err != nil {
			return options.FlagError("filter", text, fmt.Errorf("%q is not a boolean", value), key+"=true or "+key+"=false")
		}
	}
	if !want {
		key = map[string]string{"mutable": "immutable", "immutable": "mutable", "shared": "private", "private": "shared"}[key]
	}
	p.Filters = append(p.Filters, key)
	return nil
}

// condition writes one condition in BuildKit's form. A type may have our name.
func condition(key, operator, value string) string {
	if key == ofType {
		for _, k := range kinds {
			if string(k.kind) == value {
				value = string(k.name)
				break
			}
		}
	}
	return key + operator + strconv.Quote(value)
}
