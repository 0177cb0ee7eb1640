package registry

import (
	"reflect"
	"testing"
)

func TestParseChallenges(t *testing.T) {
	type p = map[string]string
	for header, want := range map[string][]challenge{
		``:                   nil,
		`Basic`:              {{"basic", p{}}},
		`Basic realm="nest"`: {{"basic", p{"realm": "nest"}}},
		`Bearer realm="https://auth.example.com/token",service="nest",scope="repository:a/b:pull,push"`: {
			{"bearer", p{"realm": "https://auth.example.com/token", "service": "nest", "scope": "repository:a/b:pull,push"}},
		},
		`bearer Realm = https://a/t , Service=x`: {{"bearer", p{"realm": "https://a/t", "service": "x"}}},
		`Negotiate, Basic realm="a \"b\" \\c", Bearer realm="x"`: {
			{"negotiate", p{}}, {"basic", p{"realm": `a "b" \c`}}, {"bearer", p{"realm": "x"}},
		},
		`Negotiate YII=, Basic realm=x`: {{"negotiate", p{"yii": ""}}, {"basic", p{"realm": "x"}}},
		`Basic realm="open`:             {{"basic", p{"realm": "open"}}},
		`Basic realm="open\`:            {{"basic", p{"realm": "open"}}},
		`a=b`:                           {{"a", p{}}, {"b", p{}}}, // a parameter of no scheme
		`,= "," =x`:                     {{"x", p{}}},
	} {
		if got := parseChallenges(header); !reflect.DeepEqual(got, want) {
			t.Errorf("%s\ngot  %v\nwant %v", header, got, want)
		}
	}
}

func FuzzParseChallenges(f *testing.F) {
	f.Add(`Bearer realm="a\"b",service=x, Basic`)
	f.Fuzz(func(_ *testing.T, header string) { parseChallenges(header) })
}
