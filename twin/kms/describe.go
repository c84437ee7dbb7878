package kms

import (
	"strings"

	"github.com/shiftgrant/shiftgrant/twin/awsjson"
)

// describeKey tells about a key, about one that is disabled, too.
func (s *Server) describeKey(q question) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	arn := q.KeyID
	if !strings.HasPrefix(arn, "arn:") {
		arn = s.arn(arn)
	}
	found := s.keys[arn]
	switch {
	case found == nil:
		return nil, refuse("NotFoundException", "Key '"+arn+"' does not exist")
	case found.denied:
		return nil, refuse("AccessDeniedException", "User is not authorized to perform this action because no resource-based policy allows it")
	}
	_, id, _ := strings.Cut(arn, ":key/")
	metadata := map[string]any{
		"AWSAccountId": s.config.Account, "KeyId": id, "Arn": arn, "CreationDate": awsjson.Epoch(found.created), "Enabled": !found.disabled, "KeyState": "Enabled",
		"KeyManager": "CUSTOMER", "Origin": "AWS_KMS", "MultiRegion": false,
		"KeyUsage": "ENCRYPT_DECRYPT", "KeySpec": "SYMMETRIC_DEFAULT", "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT", "EncryptionAlgorithms": []string{"SYMMETRIC_DEFAULT"},
	}
	if found.disabled {
		metadata["KeyState"] = "Disabled"
	}
	if found.private != nil {
		delete(metadata, "EncryptionAlgorithms")
		metadata["KeyUsage"], metadata["KeySpec"], metadata["CustomerMasterKeySpec"], metadata["SigningAlgorithms"] = "SIGN_VERIFY", "RSA_2048", "RSA_2048", signingAlgorithms
	}
	return map[string]any{"KeyMetadata": metadata}, nil
}
