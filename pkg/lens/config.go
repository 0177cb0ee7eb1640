package lens

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moby/patternmatcher"
)

// Config is a project's word on its checks: .linnet/lens.yaml.
type Config struct {
	// File is the path as the user sees it; "" without a file.
	File string
	// Root is the project's directory as the user sees it: paths in the file are from there. "" is the working directory.
	Root string
	// Levels are those that a project wants other than the check's own.
	Levels  map[string]*Level
	Budgets Budgets
	// Registries are those that images may come from; none means any.
	Registries []string
	// Setuid are patterns of programs in images that may have a right of their file's owner.
	Setuid []string
	// Exclude are patterns of paths, as in a .dockerignore, that are not looked at.
	Exclude []string
	Ignores []Ignore
	// Today is the day that end dates are compared with.
	Today time.Time
}

// Budgets bound what is normal.
type Budgets struct {
	// Context is what a build may send, File what one file of it may have, in bytes.
	Context, File int64
	// Image is what an image's files may have together, in bytes.
	Image int64
	// Layers is how many a stage may add, and an image may have.
	Layers int
}

// Ignore is a finding that a project accepts, and why, and until when.
type Ignore struct {
	ID     string
	Path   string // a pattern as in a .dockerignore; "" for all
	Reason string
	Until  time.Time // the last day; zero for ever
	Line   int
}

// Defaults are a project's without a file.
func Defaults(today time.Time) *Config {
	return &Config{Levels: map[string]*Level{}, Budgets: Budgets{Context: 100 << 20, File: 10 << 20, Image: 1 << 30, Layers: 40}, Today: today}
}

// level is what a check's findings are.
func (c *Config) level(check *Check) Level {
	if l := c.Levels[check.ID]; l != nil {
		return *l
	}
	return check.Level
}

// Excluded reports whether a path of the project, with slashes, is not looked at.
func (c *Config) Excluded(path string) bool { return matches(path, c.Exclude...) }

// within is a path that the user sees, from the project's directory.
func (c *Config) within(path string) string {
	if c.Root == "" || c.Root == "." {
		return path
	}
	return strings.TrimPrefix(path, c.Root+"/")
}

// matches reports whether a path, or a directory that it is in, matches a pattern. The patterns have been compiled once before.
func matches(path string, patterns ...string) bool {
	if len(patterns) == 0 {
		return false
	}
	ok, err := patternmatcher.MatchesOrParentMatches(path, patterns)
	return err == nil && ok
}

// ignores reports whether the configuration says that a finding is to be ignored.
func (r *run) ignores(f Finding) bool {
	if f.ID == unreadable {
		return false
	}
	for i, ig := range r.config.Ignores {
		name := r.config.within(f.File)
		if f.Image != nil {
			name = f.Image.Path
		}
		if ig.ID == f.ID && (ig.Path == "" || name != "" && matches(name, ig.Path)) && !r.config.ended(ig) {
			r.used[i] = true
			return true
		}
	}
	return false
}

func (c *Config) ended(ig Ignore) bool {
	return !ig.Until.IsZero() && c.Today.After(ig.Until.AddDate(0, 0, 1).Add(-time.Nanosecond))
}

// unused tells of ignores in the configuration that have ended, or that nothing is found for, of the checks that were asked.
func (r *run) unused(asked func(*Check) bool) {
	check := byID(badIgnore)
	for i, ig := range r.config.Ignores {
		if !asked(byID(ig.ID)) {
			continue
		}
		f := found{line: ig.Line}
		switch {
		case r.config.ended(ig):
			f.level, f.text, f.fix = Warning, fmt.Sprintf("the ignore of %s ended on %s", ig.ID, ig.Until.Format(time.DateOnly)), "mend what it was for, or say a later day"
		case !r.used[i]:
			f.text, f.fix = fmt.Sprintf("nothing is found that the ignore of %s would ignore", ig.ID), "remove it"
		default:
			continue
		}
		if r.config.level(check) != Off {
			r.add(check, r.config.File, nil, []found{f})
		}
	}
}

// unreadable is the id of a Dockerfile or a compose file that cannot be read; badIgnore that of an ignore that means nothing.
const (
	unreadable = "unreadable"
	badIgnore  = "bad-ignore"
	listFix    = "linnet lint --list names the checks"
)

// ownChecks are what is reported of the files themselves: their functions find nothing, Run does.
func ownChecks() []*Check {
	return []*Check{
		{
			ID: unreadable, Title: "Files can be read", Level: Error,
			Why:        "What cannot be parsed cannot be built, and no check can look at it.",
			Fix:        "mend the line that is named",
			dockerfile: func(*Dockerfile, *Config) []found { return nil },
		},
		{
			ID: badIgnore, Title: "Ignores have a reason and are needed", Level: Info,
			Why:        "An ignore that is no longer needed hides the next finding of its kind.",
			Fix:        "remove it",
			dockerfile: func(*Dockerfile, *Config) []found { return nil },
		},
	}
}

// rules are BuildKit's own findings, by the same ignores. They are warnings, and errors where the Dockerfile says so.
func (r *run) rules(d *Dockerfile) {
	for _, rule := range d.Rules {
		f := Finding{File: d.Name, Line: rule.Line, End: max(rule.End, rule.Line), Level: Warning, ID: rule.ID, Text: rule.Text, Questions: questionsOfRules[rule.ID], Doc: rule.URL}
		if l := r.config.Levels[rule.ID]; l != nil {
			f.Level = *l
		} else if d.skip.asErrors {
			f.Level = Error
		}
		if rule.Failed {
			if d.foreign() {
				continue // that frontend's own grammar
			}
			f.ID, f.Level, f.Fix, f.Doc = unreadable, Error, byID(unreadable).Fix, docPage+"#"+unreadable
			if len(d.Stages) > 0 { // its arguments may come with a build
				f.Level, f.Text = Warning, "a build without arguments fails: "+f.Text
			}
		} else if fix, ok := fixesOfRules[rule.ID]; ok {
			f.Fix = fix
		}
		if f.Level != Off {
			r.put(d, f)
		}
	}
}

// fixesOfRules says what to do about BuildKit's rules, where its text does not.
var fixesOfRules = map[string]string{
	"JSONArgsRecommended":         `write the command as a JSON array: CMD ["program", "argument"]`,
	"SecretsUsedInArgOrEnv":       "hand it over with RUN --mount=type=secret,id=NAME,env=NAME",
	"WorkdirRelativePath":         "begin the path with /",
	"MaintainerDeprecated":        "LABEL org.opencontainers.image.authors=...",
	"LegacyKeyValueFormat":        "write NAME=VALUE",
	"StageNameCasing":             "write the stage's name in lower case",
	"FromAsCasing":                "write FROM and AS alike",
	"NoEmptyContinuation":         "remove the empty line",
	"CopyIgnoredFile":             "take the file out of .dockerignore, or do not copy it",
	"ConsistentInstructionCasing": "write all instructions alike",
}

// questionsOfRules are the Lens's questions that BuildKit's rules answer.
var questionsOfRules = map[string][]string{
	"JSONArgsRecommended":            {"COST_05"},
	"SecretsUsedInArgOrEnv":          {"SEC_05"},
	"WorkdirRelativePath":            {"COST_04"},
	"MultipleInstructionsDisallowed": {"SUSTAINABILITY_01"},
	"MaintainerDeprecated":           {"REL_04"},
	"CopyIgnoredFile":                {"PERF_01"},
}

// RuleIDs are the names of BuildKit's own rules that can be given levels and ignored.
var RuleIDs = []string{
	"StageNameCasing", "FromAsCasing", "NoEmptyContinuation", "ConsistentInstructionCasing", "DuplicateStageName", "ReservedStageName",
	"JSONArgsRecommended", "MaintainerDeprecated", "UndefinedArgInFrom", "WorkdirRelativePath", "UndefinedVar", "MultipleInstructionsDisallowed",
	"LegacyKeyValueFormat", "InvalidBaseImagePlatform", "RedundantTargetPlatform", "SecretsUsedInArgOrEnv", "InvalidDefaultArgInFrom",
	"FromPlatformFlagConstDisallowed", "CopyIgnoredFile", "InvalidDefinitionDescription", "ExposeProtoCasing", "ExposeInvalidFormat",
}

func isRule(id string) bool { return slices.Contains(RuleIDs, id) }

// knownID reports whether an id is a check's or a rule's.
func knownID(id string) bool { return byID(strings.TrimSpace(id)) != nil || isRule(id) }

// QuestionsOf are the Lens's questions that a rule of BuildKit's answers.
func QuestionsOf(rule string) []string { return questionsOfRules[rule] }
