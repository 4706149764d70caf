#!/usr/bin/env bash
# Builds the service from this checkout and deploys it to Cloud Run. What is there already stays: run it again to deploy
# a new version. gcloud has to be logged in; MODEL_NAME, PRETRAINED and LOG_LEVEL are taken from the environment.
set -euo pipefail

readonly NAME=tate-embeddings
readonly SECRET=$NAME-auth-token
readonly MODEL_NAME=${MODEL_NAME:-ViT-B-32}
# Empty is as good as unset to the service, which knows each model's usual weights.
readonly PRETRAINED=${PRETRAINED:-}
readonly LOG_LEVEL=${LOG_LEVEL:-INFO}
# Cloud Run kills an instance 10 seconds after it was told to stop.
readonly GRACE_S=8

usage() {
  echo "usage: deploy/cloud-run.sh [--yes] PROJECT_ID REGION" >&2
  exit 2
}

agreed=no
words=()
for word in "$@"; do
  case $word in
    --yes) agreed=yes ;;
    -*) usage ;;
    *) words+=("$word") ;;
  esac
done
[[ ${#words[@]} -eq 2 && -n ${words[0]} && -n ${words[1]} ]] || usage
readonly PROJECT=${words[0]} REGION=${words[1]}

readonly ACCOUNT=$NAME@$PROJECT.iam.gserviceaccount.com
# A tag of its own for each version, so that an earlier one can be deployed again.
IMAGE=$REGION-docker.pkg.dev/$PROJECT/$NAME/$NAME:$(date -u +%Y%m%d-%H%M%S)
readonly IMAGE

for tool in gcloud openssl; do
  command -v "$tool" >/dev/null || { echo "$tool is needed and isn't on PATH" >&2; exit 1; }
done

cat <<TEXT
In project $PROJECT, region $REGION, this will
  1. switch on the APIs of Cloud Run, Cloud Build, Artifact Registry, Secret Manager and IAM;
  2. make, where they are missing, the image repository "$NAME", the service account "$NAME", which may read the
     token and nothing else, and the secret "$SECRET" with a new random token;
  3. build the image with $MODEL_NAME ${PRETRAINED:+/ $PRETRAINED }in it (which takes a quarter of an hour);
  4. deploy it as the service "$NAME": 2 vCPU, 2 GiB, reachable from the internet. Callers need no Google account:
     the service itself asks for the token.
Google bills for builds, storage and running instances.
TEXT
if [[ $agreed == no ]]; then
  read -r -p "Go on? [y/N] " answer || answer=""
  case $answer in
    y | Y | yes) ;;
    *) echo "Nothing was changed." >&2; exit 1 ;;
  esac
fi

cd "$(dirname "$0")/.."

project() { gcloud "$@" --project="$PROJECT" --quiet; }
exists() { project "$@" >/dev/null 2>&1; }

project services enable run.googleapis.com cloudbuild.googleapis.com artifactregistry.googleapis.com \
  secretmanager.googleapis.com iam.googleapis.com

exists artifacts repositories describe "$NAME" --location="$REGION" ||
  project artifacts repositories create "$NAME" --location="$REGION" --repository-format=docker

exists iam service-accounts describe "$ACCOUNT" ||
  project iam service-accounts create "$NAME" --display-name="Runs $NAME"

exists secrets describe "$SECRET" || project secrets create "$SECRET" --replication-policy=automatic
version=$(project secrets versions list "$SECRET" --filter=state:ENABLED --limit=1 --format='value(name)')
if [[ -z $version ]]; then
  token=$(openssl rand -hex 32)
  # By the shell's own printf and a pipe: what is an argument of a process, everybody on this machine can read.
  printf %s "$token" | project secrets versions add "$SECRET" --data-file=-
  unset token
fi

# Another separator than the comma, which names of models may hold.
project builds submit . --config=deploy/cloudbuild.yaml \
  --substitutions="^;^_IMAGE=$IMAGE;_MODEL_NAME=$MODEL_NAME;_PRETRAINED=$PRETRAINED"

# Only now: a service account that was just made takes a while to be known.
project secrets add-iam-policy-binding "$SECRET" --member="serviceAccount:$ACCOUNT" \
  --role=roles/secretmanager.secretAccessor --condition=None >/dev/null

# "update" leaves other variables as they were set elsewhere. MAX_MEMORY_GROWTH=0, as a worker that grew and its
# successor wouldn't fit into 2 GiB together. The start may take 240 seconds, which is the most there is.
project run deploy "$NAME" --image="$IMAGE" --region="$REGION" --service-account="$ACCOUNT" \
  --cpu=2 --memory=2Gi --cpu-boost --timeout=15m --allow-unauthenticated \
  --update-env-vars="WORKERS=1,LOG_LEVEL=$LOG_LEVEL,LOG_FORMAT=json,GRACE_S=$GRACE_S,MAX_MEMORY_GROWTH=0" \
  --update-secrets="AUTH_TOKEN=$SECRET:latest" \
  --startup-probe=httpGet.path=/health,periodSeconds=5,timeoutSeconds=5,failureThreshold=48 \
  --liveness-probe=httpGet.path=/live,periodSeconds=30,timeoutSeconds=10,failureThreshold=3
# A deployment doesn't take the requests from an earlier revision that somebody went back to.
project run services update-traffic "$NAME" --region="$REGION" --to-latest

url=$(project run services describe "$NAME" --region="$REGION" --format='value(status.url)')
cat <<TEXT

The service is at $url

  TOKEN=\$(gcloud secrets versions access latest --secret=$SECRET --project=$PROJECT)
  curl $url/health
  curl $url/embed-text -H "Authorization: Bearer \$TOKEN" -H "Content-Type: application/json" \\
    -d '{"query": "a stormy sea at night"}'
TEXT
