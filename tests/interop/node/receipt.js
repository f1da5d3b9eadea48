// Checks C2SP tlog-proof receipts with sigstore's verifier (npm package @sigstore/verify).
// Standard input: {"name", "keyId", "publicKey" (DER), "claims": [{"receipt", "entry"}]}, bytes in base64.
// Standard output: for each claim null, or why it was refused.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const { verifyCheckpoint } = require("@sigstore/verify/dist/tlog/checkpoint");
const { verifyMerkleInclusion } = require("@sigstore/verify/dist/tlog/merkle");

const bytes = (text) => Buffer.from(text, "base64");

function check(log, claim) {
  const text = bytes(claim.receipt).toString("utf8");
  const split = text.indexOf("\n\n");
  const [header, index, ...hashes] = text.slice(0, split).split("\n");
  if (header !== "c2sp.org/tlog-proof@v1" || !index.startsWith("index ")) {
    return "not a tlog-proof";
  }
  const entry = {
    canonicalizedBody: bytes(claim.entry),
    inclusionProof: {
      logIndex: index.slice("index ".length),
      hashes: hashes.map(bytes),
      checkpoint: { envelope: text.slice(split + 2) },
    },
  };
  try {
    verifyMerkleInclusion(entry, verifyCheckpoint(entry, [log]));
  } catch (error) {
    return error.message;
  }
  return null;
}

const input = JSON.parse(fs.readFileSync(0, "utf8"));
const log = {
  baseURL: input.name,
  logID: bytes(input.keyId),
  publicKey: crypto.createPublicKey({ key: bytes(input.publicKey), format: "der", type: "spki" }),
};
process.stdout.write(JSON.stringify(input.claims.map((claim) => check(log, claim))));
