package connect

import "testing"

func TestTokenAnswerIsReadStrictly(t *testing.T) {
	t.Parallel()
	for answer, good := range map[string]bool{
		`{"access_token":"a","token_type":"Bearer","x":{"x":1}}`: true,
		`{"access_token":"a","Other":1,"other":2}`:               true,
		`{"access_token":"a","access_token":"b"}`:                false,
		`{"access_token":"a","Access_Token":"b"}`:                false,
		`{"id_token":"a","ID_TOKEN":"b"}`:                        false,
		`{"access_token":"a"} trailing`:                          false,
		`[{"access_token":"a"}]`:                                 false,
		"{\"access_token\":\"\xff\"}":                            false,
		`null`:                                                   false,
		``:                                                       false,
		`access_token=a&token_type=Bearer`:                       false,
	} {
		if err := checkTokenAnswer([]byte(answer)); (err == nil) != good {
			t.Errorf("%s: %v", answer, err)
		}
	}
}
