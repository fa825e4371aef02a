module attache.dev/test/x509

go 1.26
