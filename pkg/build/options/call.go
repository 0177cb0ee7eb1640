package options

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// What can be asked, in docker's words.
var questions = []string{"check", "outline", "targets"}

// ParseCall reads docker's --call: a question, ",format=json" and ",ignorestatus=BOOL". The
// question "build" is none.
func ParseCall(value string) (question string, asJSON, ignore bool, err error) {
	all, err := fields(value)
	if err != nil {
		return "", false, false, FlagError("call", value, err, "")
	}
	for i, f := range all {
		key, v, ok := strings.Cut(f, "=")
		switch {
		case !ok && i == 0:
			question = f
		case key == "format" && (v == "json" || v == "text"):
			asJSON = v == "json"
		case key == "ignorestatus":
			if ignore, err = strconv.ParseBool(v); err != nil {
				return "", false, false, FlagError("call", value, fmt.Errorf("ignorestatus: %q is not a boolean", v), "")
			}
		default:
			return "", false, false, FlagError("call", value, fmt.Errorf("%q means nothing here", f), "check, outline or targets, with ,format=json for programs")
		}
	}
	switch {
	case question == "lint":
		question = "check"
	case question == "build":
		question = ""
	case !slices.Contains(questions, question):
		return "", false, false, FlagError("call", value, fmt.Errorf("%q is not a question", question), "one of build, "+strings.Join(questions, ", "))
	}
	return question, asJSON, ignore, nil
}
