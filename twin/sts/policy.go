package sts

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// policy is a role's trust policy: the part of IAM's language that trust policies for web
// identities and for other roles use. What is not understood is an error when the policy is
// read, never a statement that is silently without effect.
type policy struct {
	statements []statement
}

type statement struct {
	allow      bool
	federated  []string
	principals []string
	actions    []string
	conditions []condition
}

type condition struct {
	operator string
	key      string // lower case
	values   []string
}

// texts is a string or an array of strings, which IAM allows alike.
type texts []string

func (t *texts) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = texts{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(data, &many); err != nil || len(many) == 0 {
		return errors.New("a string or an array of strings is needed")
	}
	*t = many
	return nil
}

type statementDocument struct {
	Sid       string
	Effect    string
	Principal struct {
		Federated texts
		AWS       texts
		Service   texts // they come by ways that are not played here
	}
	Action    texts
	Condition map[string]map[string]texts
}

// statementList is one statement or an array of them.
type statementList []statementDocument

func (l *statementList) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	if decoder.PeekKind() == '[' {
		return json.UnmarshalDecode(decoder, (*[]statementDocument)(l))
	}
	*l = make(statementList, 1)
	return json.UnmarshalDecode(decoder, &(*l)[0])
}

func parsePolicy(text string) (policy, error) {
	var document struct {
		Version   string
		ID        string `json:"Id"`
		Statement statementList
	}
	// The semantics of this package refuse duplicate names and names in another case.
	if err := json.Unmarshal([]byte(text), &document, json.RejectUnknownMembers(true)); err != nil {
		return policy{}, err
	}
	if document.Version != "2012-10-17" {
		return policy{}, errors.New(`the Version must be "2012-10-17"`)
	}
	if len(document.Statement) == 0 {
		return policy{}, errors.New("there is no Statement")
	}
	var parsed policy
	for i, d := range document.Statement {
		s, err := d.statement()
		if err != nil {
			return policy{}, fmt.Errorf("statement %d: %w", i+1, err)
		}
		parsed.statements = append(parsed.statements, s)
	}
	return parsed, nil
}

func (d statementDocument) statement() (statement, error) {
	s := statement{allow: d.Effect == "Allow", federated: d.Principal.Federated, principals: d.Principal.AWS, actions: d.Action}
	if d.Effect != "Allow" && d.Effect != "Deny" {
		return s, errors.New("the Effect must be Allow or Deny")
	}
	if len(s.federated)+len(s.principals)+len(d.Principal.Service) == 0 {
		return s, errors.New("the Principal must name Federated, AWS or Service")
	}
	if len(s.actions) == 0 {
		return s, errors.New("there is no Action")
	}
	for _, action := range s.actions {
		if !strings.HasPrefix(strings.ToLower(action), "sts:") {
			return s, fmt.Errorf("a trust policy is about actions of sts, not %q", action)
		}
	}
	for _, operator := range slices.Sorted(maps.Keys(d.Condition)) {
		if _, known := operators[operator]; !known {
			return s, fmt.Errorf("the twin does not evaluate the condition operator %q", operator)
		}
		for key, values := range d.Condition[operator] {
			s.conditions = append(s.conditions, condition{operator, strings.ToLower(key), values})
		}
	}
	return s, nil
}

// checkKeys refuses condition keys that no request would ever have.
func (p policy) checkKeys(prefixes []string) error {
	for _, s := range p.statements {
		for _, c := range s.conditions {
			known := slices.Contains(contextKeys, c.key) || strings.HasPrefix(c.key, requestTag) || strings.HasPrefix(c.key, principalTag)
			for _, prefix := range prefixes {
				if claim, ours := strings.CutPrefix(c.key, prefix+":"); ours {
					known = slices.Contains(claimKeys, claim)
				}
			}
			if !known {
				return fmt.Errorf("the twin does not evaluate the condition key %q", c.key)
			}
		}
	}
	return nil
}

const (
	requestTag   = "aws:requesttag/"
	principalTag = "aws:principaltag/"
)

var (
	contextKeys = []string{"sts:rolesessionname", "sts:sourceidentity", "sts:externalid"}
	claimKeys   = []string{"aud", "sub", "oaud"}
)

// request is what a trust policy decides on.
type request struct {
	federated  string   // the ARN of the OIDC provider, or
	principals []string // the names by which the caller may be trusted
	context    map[string]string
}

// permits evaluates one action: a Deny that applies wins, else some Allow must apply.
func (p policy) permits(action string, q request) bool {
	allowed := false
	for _, s := range p.statements {
		if !s.applies(action, q) {
			continue
		}
		if !s.allow {
			return false
		}
		allowed = true
	}
	return allowed
}

func (s statement) applies(action string, q request) bool {
	if !s.trusts(q) {
		return false
	}
	named := func(pattern string) bool { return like(strings.ToLower(pattern), strings.ToLower(action)) }
	if !slices.ContainsFunc(s.actions, named) {
		return false
	}
	for _, c := range s.conditions {
		if !c.holds(q.context) {
			return false
		}
	}
	return true
}

func (s statement) trusts(q request) bool {
	if q.federated != "" {
		return slices.Contains(s.federated, q.federated)
	}
	return slices.ContainsFunc(q.principals, func(name string) bool { return slices.Contains(s.principals, name) })
}

// operators compare one value of the request with one of the policy; negated ones turn the
// outcome over all values round, and hold where the request has no value at all.
var operators = map[string]struct {
	match   func(pattern, value string) bool
	negated bool
}{
	"StringEquals":    {func(pattern, value string) bool { return pattern == value }, false},
	"StringNotEquals": {func(pattern, value string) bool { return pattern == value }, true},
	"StringLike":      {like, false},
	"StringNotLike":   {like, true},
}

func (c condition) holds(context map[string]string) bool {
	operator := operators[c.operator]
	value, present := context[c.key]
	matched := present && slices.ContainsFunc(c.values, func(pattern string) bool { return operator.match(pattern, value) })
	return matched != operator.negated
}

// like matches * (any run) and ? (any one character). It remembers only the last star, so a
// pattern of many stars costs no more than length times length.
func like(pattern, value string) bool {
	p, v := []rune(pattern), []rune(value)
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(v) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == v[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

func isJSONObject(text string) bool {
	var object map[string]any
	return json.Unmarshal([]byte(text), &object) == nil && object != nil
}
