package connect_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/shiftgrant/shiftgrant/connect"
)

// Each is one thing that is wrong with an otherwise good ID token.
func TestMutatedIDTokensSignNobodyIn(t *testing.T) {
	t.Parallel()
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claim := func(name string, value any) func(*issuer, map[string]any) string {
		return func(i *issuer, claims map[string]any) string {
			if value == nil {
				delete(claims, name)
			} else {
				claims[name] = value
			}
			return i.sign(claims)
		}
	}
	later := func(name string, seconds int64) func(*issuer, map[string]any) string {
		return func(i *issuer, claims map[string]any) string {
			claims[name] = i.Now().Unix() + seconds
			return i.sign(claims)
		}
	}
	text := func(change func(string) string) func(*issuer, map[string]any) string {
		return func(i *issuer, claims map[string]any) string { return change(i.sign(claims)) }
	}
	part := func(n int, change func(string) string) func(*issuer, map[string]any) string {
		return text(func(token string) string {
			parts := strings.Split(token, ".")
			parts[n] = change(parts[n])
			return strings.Join(parts, ".")
		})
	}
	// header is signed by nobody's key but looks like it.
	header := func(header string) func(*issuer, map[string]any) string {
		return part(0, func(string) string { return base64.RawURLEncoding.EncodeToString([]byte(header)) })
	}
	signed := func(algorithm jose.SignatureAlgorithm, key any) func(*issuer, map[string]any) string {
		return func(_ *issuer, claims map[string]any) string {
			payload, _ := json.Marshal(claims)
			return signRaw(algorithm, key, payload)
		}
	}
	raw := func(change func(string) string) func(*issuer, map[string]any) string {
		return func(i *issuer, claims map[string]any) string {
			payload, _ := json.Marshal(claims)
			return signRaw(jose.ES256, jose.JSONWebKey{Key: i.key, KeyID: "one"}, []byte(change(string(payload))))
		}
	}
	withSecret := func(secret func(*issuer) []byte) func(*issuer, map[string]any) string {
		return func(i *issuer, claims map[string]any) string {
			payload, _ := json.Marshal(claims)
			return signRaw(jose.HS256, jose.JSONWebKey{Key: secret(i), KeyID: "one"}, payload)
		}
	}
	publicPEM := func(i *issuer) []byte {
		der, _ := x509.MarshalPKIXPublicKey(&i.key.PublicKey)
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	unsigned := func(algorithm string) func(*issuer, map[string]any) string {
		return func(_ *issuer, claims map[string]any) string {
			payload, _ := json.Marshal(claims)
			head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"` + algorithm + `","typ":"JWT"}`))
			return head + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
		}
	}
	mutations := map[string]func(*issuer, map[string]any) string{
		"none at all":            text(func(string) string { return "" }),
		"no JWT":                 text(func(string) string { return "hello" }),
		"two parts":              text(func(token string) string { return token[:strings.LastIndex(token, ".")] }),
		"four parts":             text(func(token string) string { return token + ".x" }),
		"five parts":             text(func(token string) string { return token + ".x.y" }),
		"space in front":         text(func(token string) string { return "  " + token[:20] + " " + token[20:] }),
		"padding":                part(1, func(s string) string { return s + "=" }),
		"broken base64":          part(1, func(s string) string { return "!" + s[1:] }),
		"payload of another":     part(1, func(string) string { return base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"evil"}`)) }),
		"payload that is text":   raw(func(string) string { return `"hello"` }),
		"payload that is a list": raw(func(string) string { return `[]` }),
		"empty payload":          raw(func(string) string { return `` }),
		"empty signature":        part(2, func(string) string { return "" }),
		"signature cut":          part(2, func(s string) string { return s[:40] }),
		"signature flipped":      part(2, func(s string) string { return flip(s) }),
		"signature of zeros":     part(2, func(s string) string { return base64.RawURLEncoding.EncodeToString(make([]byte, 64)) }),

		"alg none":                      unsigned("none"),
		"alg None":                      unsigned("None"),
		"alg empty":                     unsigned(""),
		"alg none with kid":             header(`{"alg":"none","kid":"one"}`),
		"alg changed to RS256":          header(`{"alg":"RS256","kid":"one"}`),
		"alg changed to HS256":          header(`{"alg":"HS256","kid":"one"}`),
		"alg missing":                   header(`{"kid":"one"}`),
		"crit of nobody":                header(`{"alg":"ES256","kid":"one","crit":["exp"],"exp":1}`),
		"header that is no JSON":        header(`{"alg":`),
		"HS256 with the public key":     withSecret(publicPEM),
		"HS256 with the app's secret":   withSecret(func(*issuer) []byte { return []byte("secret of the app, made thirty-two bytes") }),
		"another key, the same kid":     signed(jose.ES256, jose.JSONWebKey{Key: other, KeyID: "one"}),
		"another key, another kid":      signed(jose.ES256, jose.JSONWebKey{Key: other, KeyID: "two"}),
		"another key, no kid":           signed(jose.ES256, other),
		"another key in its header":     embedded(other),
		"an RSA key under the same kid": signed(jose.RS256, jose.JSONWebKey{Key: rsaKey, KeyID: "one"}),
		"an Ed25519 key":                signed(jose.EdDSA, jose.JSONWebKey{Key: edwards, KeyID: "one"}),

		"iss missing":    claim("iss", nil),
		"iss empty":      claim("iss", ""),
		"iss of another": claim("iss", "https://idp.example"),
		"iss with a slash more": func(i *issuer, claims map[string]any) string {
			claims["iss"] = i.server.URL + "/"
			return i.sign(claims)
		},
		"iss in capitals": func(i *issuer, claims map[string]any) string {
			claims["iss"] = strings.ToUpper(i.server.URL)
			return i.sign(claims)
		},
		"iss a list": func(i *issuer, claims map[string]any) string {
			claims["iss"] = []string{i.server.URL}
			return i.sign(claims)
		},
		"aud missing":              claim("aud", nil),
		"aud empty":                claim("aud", ""),
		"aud of another":           claim("aud", "other"),
		"aud a list of others":     claim("aud", []string{"other", "another"}),
		"aud an empty list":        claim("aud", []string{}),
		"aud a number":             claim("aud", 1),
		"aud with a prefix":        claim("aud", clientID+"2"),
		"two aud and no azp":       claim("aud", []string{clientID, "other"}),
		"azp of another":           claim("azp", "other"),
		"azp empty":                claim("azp", ""),
		"azp a list":               claim("azp", []string{clientID}),
		"exp missing":              claim("exp", nil),
		"exp null":                 raw(func(s string) string { return strings.Replace(s, `"exp":`, `"exp":null,"x":`, 1) }),
		"exp a text":               claim("exp", "tomorrow"),
		"exp past":                 later("exp", -61),
		"exp long past":            claim("exp", 1),
		"exp zero":                 claim("exp", 0),
		"iat missing":              claim("iat", nil),
		"iat null":                 raw(func(s string) string { return strings.Replace(s, `"iat":`, `"iat":null,"x":`, 1) }),
		"iat zero":                 claim("iat", 0),
		"iat in the future":        later("iat", 62),
		"nbf in the future":        later("nbf", 62),
		"nbf a text":               claim("nbf", "tomorrow"),
		"nonce missing":            claim("nonce", nil),
		"nonce empty":              claim("nonce", ""),
		"nonce of another sign-in": claim("nonce", "of-another-sign-in"),
		"nonce a list": func(i *issuer, claims map[string]any) string {
			claims["nonce"] = []any{claims["nonce"]}
			return i.sign(claims)
		},
		"sub missing":        claim("sub", nil),
		"sub empty":          claim("sub", ""),
		"sub a number":       claim("sub", 7),
		"sub a list":         claim("sub", []string{"idp|ann"}),
		"at_hash of another": claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"),

		"sub twice":                raw(func(s string) string { return strings.Replace(s, `"sub":`, `"sub":"evil","sub":`, 1) }),
		"nonce twice":              raw(func(s string) string { return strings.Replace(s, `"nonce":`, `"nonce":"x","nonce":`, 1) }),
		"Sub beside sub":           claim("Sub", "evil"),
		"AUD beside aud":           claim("AUD", "other"),
		"Email_Verified beside it": claim("Email_Verified", true),
		"not UTF-8":                raw(func(s string) string { return strings.Replace(s, "Ann Analyst", "Ann \xff", 1) }),
		"bytes behind the payload": raw(func(s string) string { return s + "{}" }),
	}
	if len(mutations) < 60 {
		t.Fatalf("%d mutations, want at least 60", len(mutations))
	}
	for name, mutate := range mutations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			a := newApp(t, i, nil)
			i.idToken = func(nonce, access string) string { return mutate(i, i.claims(nonce, access)) }
			a.callback(i.authorize(a.login(t, "/login")))
			a.refused(t, name, connect.Refused)
		})
	}
}

func flip(s string) string {
	if s[0] == 'A' {
		return "B" + s[1:]
	}
	return "A" + s[1:]
}

// embedded has its key with it, for a verifier that believes what a token says of itself.
func embedded(key *ecdsa.PrivateKey) func(*issuer, map[string]any) string {
	return func(_ *issuer, claims map[string]any) string {
		payload, _ := json.Marshal(claims)
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, &jose.SignerOptions{EmbedJWK: true})
		if err != nil {
			panic(err)
		}
		signed, err := signer.Sign(payload)
		if err != nil {
			panic(err)
		}
		compact, err := signed.CompactSerialize()
		if err != nil {
			panic(err)
		}
		return compact
	}
}

// What looks unusual and is good.
func TestUnusualIDTokensSignIn(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(map[string]any){
		"aud a list of one":       func(c map[string]any) { c["aud"] = []string{clientID} },
		"two aud, with our azp":   func(c map[string]any) { c["aud"], c["azp"] = []string{"other", clientID}, clientID },
		"no at_hash":              func(c map[string]any) { delete(c, "at_hash") },
		"a clock a minute ahead":  func(c map[string]any) { c["iat"], c["nbf"] = c["iat"].(int64)+59, c["iat"].(int64)+59 },
		"a clock a minute behind": func(c map[string]any) { c["exp"] = c["iat"].(int64) - 58 },
		"no auth_time":            func(c map[string]any) { delete(c, "auth_time") },
	} {
		i := newIssuer(t)
		a := newApp(t, i, nil)
		i.idToken = func(nonce, access string) string {
			claims := i.claims(nonce, access)
			change(claims)
			return i.sign(claims)
		}
		a.callback(i.authorize(a.login(t, "/login")))
		if _, err := a.session(); err != nil {
			t.Errorf("%s: %v, %v", name, err, a.failures)
		}
	}
}

func TestOnlyTheBooleanVerifiesAnAddress(t *testing.T) {
	t.Parallel()
	for _, value := range []any{"true", "false", 1, nil, []bool{true}} {
		i := newIssuer(t)
		a := newApp(t, i, nil)
		i.idToken = func(nonce, access string) string {
			claims := i.claims(nonce, access)
			claims["email_verified"] = value
			return i.sign(claims)
		}
		if session := a.signIn(t); session.Identity().EmailVerified {
			t.Errorf("%v counts as verified", value)
		}
	}
}
