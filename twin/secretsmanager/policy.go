package secretsmanager

import (
	"context"
	"encoding/json"
	"errors"
	"path"
	"slices"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
	"github.com/shiftgrant/shiftgrant/twin/sigv4"
)

const maxPolicy = 20_480

// document is as much of a secret's policy as is evaluated.
type document struct {
	Version   string
	Statement []statement
}

type statement struct {
	Effect    string
	Principal principals
	Action    awsjson.Texts
	Condition json.RawMessage
}

// principals are the names of who is meant: "*", or an object with AWS.
type principals []string

func (p *principals) UnmarshalJSON(data []byte) error {
	var everybody string
	if json.Unmarshal(data, &everybody) == nil {
		if everybody != "*" {
			return errors.New(`a Principal is "*" or an object`)
		}
		*p = principals{everybody}
		return nil
	}
	var named struct{ AWS, Service awsjson.Texts }
	err := json.Unmarshal(data, &named)
	*p = principals(append(named.AWS, named.Service...))
	return err
}

func parse(text string) (document, error) {
	var d document
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return d, err
	}
	if d.Version != "2012-10-17" || len(d.Statement) == 0 {
		return d, errors.New("the Version 2012-10-17 and a list of statements are needed")
	}
	for _, s := range d.Statement {
		if s.Effect != "Allow" && s.Effect != "Deny" || len(s.Principal) == 0 || len(s.Action) == 0 {
			return d, errors.New("a statement needs an Effect, a Principal and an Action")
		}
	}
	return d, nil
}

// names are those by which a policy means a caller.
func names(caller sigv4.Credential) []string {
	return []string{"*", caller.RoleARN, caller.ARN(), "arn:aws:iam::" + caller.Account + ":root", caller.Account}
}

func (s statement) means(caller sigv4.Credential, action string) bool {
	meant := func(name string) bool { return slices.Contains(names(caller), name) }
	covers := func(pattern string) bool {
		matched, err := path.Match(pattern, action) // actions have no slash
		return err == nil && matched
	}
	return len(s.Condition) == 0 && slices.ContainsFunc(s.Principal, meant) && slices.ContainsFunc(s.Action, covers)
}

// allows decides by the secret's policy: a statement that denies wins, and somebody of another account
// needs one that allows.
func (k *secret) allows(caller sigv4.Credential, account, action string) bool {
	allowed := caller.Account == account
	if k.policy == "" {
		return allowed
	}
	policy, err := parse(k.policy)
	if err != nil {
		return false
	}
	for _, s := range policy.Statement {
		if !s.means(caller, action) {
			continue
		}
		if s.Effect == "Deny" {
			return false
		}
		allowed = true
	}
	return allowed
}

type policyRequest struct {
	SecretID string `json:"SecretId"`
	Policy   string `json:"ResourcePolicy"`
	Block    bool   `json:"BlockPublicPolicy"`
}

func (s *Server) putResourcePolicy(_ context.Context, caller sigv4.Credential, q policyRequest) (any, error) {
	parsed, err := parse(q.Policy)
	if err != nil || len(q.Policy) > maxPolicy {
		return nil, awsjson.Refuse("MalformedPolicyDocumentException", "This resource policy contains a syntax error: %v", err)
	}
	public := func(s statement) bool {
		return s.Effect == "Allow" && slices.Contains(s.Principal, "*") && len(s.Condition) == 0
	}
	if q.Block && slices.ContainsFunc(parsed.Statement, public) {
		return nil, awsjson.Refuse("PublicPolicyException", "This resource policy grants broad access to secrets.")
	}
	return s.using(caller, q.SecretID, "PutResourcePolicy", func(kept *secret) (any, error) {
		kept.policy = q.Policy
		return kept.identified(), nil
	})
}

func (s *Server) getResourcePolicy(_ context.Context, caller sigv4.Credential, q secretRequest) (any, error) {
	return s.finding(caller, q.SecretID, "GetResourcePolicy", func(kept *secret) (any, error) {
		answer := kept.identified()
		if kept.policy != "" {
			answer["ResourcePolicy"] = kept.policy
		}
		return answer, nil
	})
}

func (s *Server) deleteResourcePolicy(_ context.Context, caller sigv4.Credential, q secretRequest) (any, error) {
	return s.using(caller, q.SecretID, "DeleteResourcePolicy", func(kept *secret) (any, error) {
		kept.policy = ""
		return kept.identified(), nil
	})
}
