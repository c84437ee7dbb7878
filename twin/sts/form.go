package sts

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

var (
	namePattern     = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
	sessionPattern  = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	externalPattern = regexp.MustCompile(`^[\w+=,.@:/-]*$`)
	tagPattern      = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
)

// form is a request's parameters, each of which came once.
type form url.Values

func (f form) get(name string) string { return url.Values(f).Get(name) }

// only refuses what the action does not know: in a test a misspelled parameter that is
// silently ignored is worse than an error.
func (f form) only(known []string) error {
	for name := range f {
		base, _, _ := strings.Cut(name, ".")
		if name != "Action" && name != "Version" && !slices.Contains(known, base) {
			return validation("the action has no such parameter; it takes " + strings.Join(known, ", "))
		}
	}
	return nil
}

// noSessionPolicy refuses session policies: the twin does not evaluate permissions, and to
// accept a policy without applying it would grant more than was asked.
func (f form) noSessionPolicy() error {
	for name := range f {
		if strings.HasPrefix(name, "PolicyArns") {
			return validation("the twin does not apply session policies: leave PolicyArns out")
		}
	}
	inline := f.get("Policy")
	if inline == "" {
		return nil
	}
	if len(inline) > 2048 {
		return validation("1 validation error detected: Value at 'policy' failed to satisfy constraint: Member must have length less than or equal to 2048")
	}
	if !isJSONObject(inline) {
		return malformedPolicy("This policy contains invalid Json")
	}
	return validation("the twin does not apply session policies: leave Policy out")
}

func (f form) sessionName() (string, error) {
	name := f.get("RoleSessionName")
	if !sessionPattern.MatchString(name) {
		return "", validation(`1 validation error detected: Value at 'roleSessionName' failed to satisfy constraint: ` +
			`Member must satisfy regular expression pattern: [\w+=,.@-]* and have a length of 2 to 64`)
	}
	return name, nil
}

// exceedsRole is what AWS says of a session that is longer than its role allows.
const exceedsRole = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."

// duration reads DurationSeconds against the limits of the API and of what may be no longer, because
// of what is said then.
func (f form) duration(longest time.Duration, because string) (time.Duration, error) {
	text := f.get("DurationSeconds")
	if text == "" {
		return min(time.Hour, longest), nil
	}
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 900 || seconds > 43200 {
		return 0, validation("1 validation error detected: Value at 'durationSeconds' failed to satisfy constraint: " +
			"Member must have value between 900 and 43200")
	}
	if time.Duration(seconds)*time.Second > longest {
		return 0, validation(because)
	}
	return time.Duration(seconds) * time.Second, nil
}

// tags reads Tags.member.N.Key and .Value.
func (f form) tags() (map[string]string, error) {
	tags := map[string]string{}
	count := 0
	for n := 1; n <= maxTags+1; n++ {
		prefix := "Tags.member." + strconv.Itoa(n)
		keys, found := f[prefix+".Key"]
		if !found {
			break
		}
		if _, taken := tags[keys[0]]; taken {
			return nil, validation("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		tags[keys[0]] = f.get(prefix + ".Value")
		count += 2
	}
	if f.members("Tags") != count {
		return nil, validation("tags are given as Tags.member.1.Key, Tags.member.1.Value, and so on without a gap")
	}
	return tags, checkTags(tags)
}

// list reads Name.member.N.
func (f form) list(name string) ([]string, error) {
	var values []string
	for n := 1; ; n++ {
		value, found := f[name+".member."+strconv.Itoa(n)]
		if !found {
			break
		}
		values = append(values, value[0])
	}
	if f.members(name) != len(values) {
		return nil, validation("lists are given as " + name + ".member.1 and so on without a gap")
	}
	return values, nil
}

func (f form) members(name string) int {
	count := 0
	for parameter := range f {
		if base, _, _ := strings.Cut(parameter, "."); base == name {
			count++
		}
	}
	return count
}

// checkTags holds session tags against AWS's limits. Keys are compared without case.
func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return validation("1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to 50")
	}
	seen := map[string]bool{}
	for key, value := range tags {
		if key == "" || utf8.RuneCountInString(key) > maxTagKey || !tagPattern.MatchString(key) {
			return validation("1 validation error detected: Value at 'tags.member.key' failed to satisfy constraint: 1 to 128 letters, digits, spaces and _.:/=+-@")
		}
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return validation("Tag keys must not begin with aws:")
		}
		if utf8.RuneCountInString(value) > maxTagValue || !tagPattern.MatchString(value) {
			return validation("1 validation error detected: Value at 'tags.member.value' failed to satisfy constraint: at most 256 letters, digits, spaces and _.:/=+-@")
		}
		if folded := strings.ToLower(key); seen[folded] {
			return validation("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		} else {
			seen[folded] = true
		}
	}
	return nil
}
