/** What an image may be, and how it travels. */

/** Base64 has to be marked: a string alone is an address. A `data:` URI may stand here too. */
export interface Base64Image {
  base64: string;
}

/** An http(s) URL that the service fetches, a `data:` URI, marked base64, or the bytes themselves. */
export type Image = string | Base64Image | Uint8Array | Blob;

/** What goes as a file. */
export type Upload = Uint8Array | Blob;

/** How an image travels; a request has images of one kind. */
export type Kind = "url" | "base64" | "upload";

// A multiple of three bytes, so that pieces of base64 can be joined, and few enough to be arguments of a function.
const PIECE = 3 * 8192;

/** The image, if it is one. */
export function checkedImage(image: unknown): Image {
  if (typeof image === "string" || isUpload(image) || isBase64(image)) {
    return image;
  }
  throw new TypeError("An image is a URL or data: URI (a string), { base64 }, a Uint8Array or a Blob.");
}

export function isUpload(image: unknown): image is Upload {
  return image instanceof Uint8Array || image instanceof Blob;
}

/** The string that stands for an image in JSON. */
export function written(image: string | Base64Image): string {
  return typeof image === "string" ? image : image.base64;
}

export function kindOf(image: Image): Kind {
  if (isUpload(image)) {
    return "upload";
  }
  return typeof image === "string" && !/^data:/i.test(image) ? "url" : "base64";
}

/** The image's URL, if it has one. */
export function urlOf(image: Image): string | undefined {
  return kindOf(image) === "url" ? (image as string) : undefined;
}

export function byteLength(upload: Upload): number {
  return upload instanceof Blob ? upload.size : upload.byteLength;
}

/** An upload as a part of a form. */
export function asBlob(upload: Upload): Blob {
  return upload instanceof Blob ? upload : new Blob([upload as Uint8Array<ArrayBuffer>]);
}

export async function inBase64(upload: Upload): Promise<string> {
  const bytes = upload instanceof Blob ? new Uint8Array(await upload.arrayBuffer()) : upload;
  let text = "";
  for (let start = 0; start < bytes.length; start += PIECE) {
    text += btoa(String.fromCharCode(...bytes.subarray(start, start + PIECE)));
  }
  return text;
}

function isBase64(image: unknown): image is Base64Image {
  return typeof image === "object" && image !== null && "base64" in image && typeof image.base64 === "string";
}
