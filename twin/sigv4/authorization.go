package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
)

const terminator = "aws4_request"

// authorization is the Authorization header, taken apart.
type authorization struct {
	accessKeyID   string
	scope         scope
	signedHeaders []string
	signature     []byte
}

// scope is the credential scope: what the derived key is good for.
type scope struct{ date, region, service string }

func (s scope) String() string {
	return strings.Join([]string{s.date, s.region, s.service, terminator}, "/")
}

// parseAuthorization reads
// "AWS4-HMAC-SHA256 Credential=…/…, SignedHeaders=a;b, Signature=…".
func parseAuthorization(header http.Header) (authorization, error) {
	values := header.Values("Authorization")
	if len(values) == 0 {
		return authorization{}, fault{kind: missing}
	}
	if len(values) > 1 {
		return authorization{}, fault{incomplete, "A request has one Authorization header."}
	}
	scheme, rest, _ := strings.Cut(values[0], " ")
	if scheme != algorithm {
		return authorization{}, fault{incomplete, "Unsupported AWS 'algorithm'. The twin takes '" + algorithm + "'."}
	}
	fields, err := parseFields(rest)
	if err != nil {
		return authorization{}, err
	}
	var parsed authorization
	if parsed.accessKeyID, parsed.scope, err = parseCredential(fields["Credential"]); err != nil {
		return authorization{}, err
	}
	parsed.signedHeaders = strings.Split(fields["SignedHeaders"], ";")
	if !wellFormedNames(parsed.signedHeaders) {
		return authorization{}, fault{incomplete, "'SignedHeaders' must be lower-case names, sorted, each once, separated by ';'."}
	}
	parsed.signature, err = hex.DecodeString(fields["Signature"])
	if err != nil || len(parsed.signature) != sha256.Size || fields["Signature"] != strings.ToLower(fields["Signature"]) {
		return authorization{}, fault{incomplete, "'Signature' must be 64 lower-case hexadecimal digits."}
	}
	return parsed, nil
}

// parseFields wants each of the three fields once and nothing else.
func parseFields(list string) (map[string]string, error) {
	fields := map[string]string{}
	for field := range strings.SplitSeq(list, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		if _, repeated := fields[name]; repeated {
			return nil, fault{incomplete, "Authorization header has a parameter twice."}
		}
		fields[name] = value
	}
	for _, name := range []string{"Credential", "Signature", "SignedHeaders"} {
		if fields[name] == "" {
			return nil, fault{incomplete, "Authorization header requires '" + name + "' parameter."}
		}
	}
	if len(fields) != 3 {
		return nil, fault{incomplete, "Authorization header has a parameter that is not one of 'Credential', 'SignedHeaders', 'Signature'."}
	}
	return fields, nil
}

func parseCredential(text string) (accessKeyID string, _ scope, _ error) {
	parts := strings.Split(text, "/")
	if len(parts) != 5 {
		return "", scope{}, fault{incomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term."}
	}
	if parts[4] != terminator {
		return "", scope{}, fault{mismatch, "Credential should be scoped with a valid terminator: '" + terminator + "'."}
	}
	return parts[0], scope{date: parts[1], region: parts[2], service: parts[3]}, nil
}

func wellFormedNames(names []string) bool {
	for i, name := range names {
		if name == "" || name != strings.ToLower(name) || strings.ContainsAny(name, " \t,") {
			return false
		}
		if i > 0 && names[i-1] >= name {
			return false
		}
	}
	return !slices.Contains(names, "authorization")
}
