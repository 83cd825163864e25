// Two shaders: one colours the cells of a tile into a picture of it, one puts pictures on the screen.
//
// Knows: the table of palettes.ts, the rasters of raster.ts. Must never know: where tiles come from.
// Keeps: colour is a function of the cell, its mark and the palette; switching one uploads nothing;
// a cell is coloured once for each picture, however many pixels it takes and however often it is drawn.

export const VERTEX = `#version 300 es
in vec2 aPosition;
out vec2 vCell;
uniform mat3 uProjectionMatrix;
uniform mat3 uWorldTransformMatrix;
uniform mat3 uTransformMatrix;
void main() {
  mat3 mvp = uProjectionMatrix * uWorldTransformMatrix * uTransformMatrix;
  gl_Position = vec4((mvp * vec3(aPosition, 1.0)).xy, 0.0, 1.0);
  vCell = aPosition;
}
`;

export const COLOUR = `#version 300 es
precision highp float;
precision highp int;
in vec2 vCell;
out vec4 finalColor;
uniform sampler2D uCells;
uniform sampler2D uMarks;
uniform sampler2D uLut;
// channels (0, 1 or 4), whether marks are one texel
uniform vec2 uTile;
// palette, light theme
uniform vec2 uPaint;

vec3 table(int row, float i) {
  return texelFetch(uLut, ivec2(int(clamp(i, 0.0, 255.0) + 0.5), row), 0).rgb;
}

vec3 colourAt(ivec2 p) {
  vec4 mark = texelFetch(uMarks, uTile.y > 0.5 ? ivec2(0) : p, 0) * 255.0;
  int kind = int(mark.r + 0.5);
  vec3 rgb = table(3, mark.r);
  bool content = kind > 1 && (kind < 11 || kind > 13);
  if (content && uTile.x > 0.5) {
    vec4 c = texelFetch(uCells, p, 0);
    bool bytes = uTile.x < 2.0;
    float value = c.r * 255.0;
    float entropy = bytes ? c.g : c.r;
    // Texture under the flat palettes: what varies stays visible.
    float grain;
    vec3 own;
    vec4 share;
    if (bytes) {
      own = table(0, value);
      grain = 0.35 + 0.65 * c.r;
    } else {
      share = vec4(c.g, c.b, c.a, max(0.0, 1.0 - c.g - c.b - c.a));
      vec3 zero = table(6, 0.0), low = table(6, 1.0), text = table(6, 2.0), high = table(6, 3.0);
      // What there is most of tints the cell: an even mean of everything is grey and says nothing.
      vec4 part = share / max(0.004, max(max(share.x, share.y), max(share.z, share.w)));
      vec4 most = part * part * part * part * part;
      vec4 mixed = mix(share, most / dot(most, vec4(1.0)), 0.85);
      vec3 light = mixed.x * zero * zero + mixed.y * text * text + mixed.z * high * high + mixed.w * low * low;
      own = sqrt(light / max(0.001, dot(mixed, vec4(1.0))));
      grain = 0.35 + 0.65 * clamp(0.75 * entropy + 0.35 * (1.0 - share.x) - 0.1, 0.0, 1.0);
    }
    int palette = int(uPaint.x + 0.5);
    if (palette == 0) rgb = own;
    else if (palette == 1) rgb = table(1, entropy * 255.0);
    else if (palette == 2) rgb = table(2, bytes ? value : 255.0 * (share.y * 0.36 + share.z * 0.75 + share.w * 0.1));
    else {
      vec3 flatColour = palette == 3 ? table(3, mark.r) : palette == 4 ? table(4, mark.g) : palette == 5 ? table(5, mark.b) : table(7, floor((mark.a + 0.5) / 2.0));
      vec3 ground = uPaint.y > 0.5 ? vec3(0.97) : vec3(0.035, 0.045, 0.07);
      rgb = mix(ground, flatColour, grain);
    }
    // Changed since it was folded: striped, so that it cannot be taken for the truth.
    if (int(mark.a + 0.5) % 2 == 1 && (p.x + p.y) % 4 == 0) rgb = mix(rgb, vec3(0.86, 0.2, 0.45), 0.75);
  } else if (kind == 1) {
    rgb *= ((p.x / 4 + p.y / 4) % 2 == 0) ? 1.0 : (uPaint.y > 0.5 ? 0.985 : 1.12);
  } else if (kind == 11 || kind == 12) {
    rgb *= ((p.x + p.y) % 6 < 2) ? 1.35 : 1.0;
  }
  return rgb;
}

void main() {
  finalColor = vec4(colourAt(ivec2(floor(vCell))), 1.0);
}
`;

export const SHOW = `#version 300 es
precision highp float;
in vec2 vCell;
out vec4 finalColor;
uniform sampler2D uPicture;
uniform sampler2D uChanged;
// glow of changes, alpha, whether changes are one texel
uniform vec3 uTile;
// pixels a cell, whether to smooth edges, light theme
uniform vec3 uView;

void main() {
  vec2 at = floor(vCell) + 0.5;
  if (uView.y > 0.5) {
    // Between two cells the filter of the texture mixes them, over one pixel of the screen.
    vec2 p = vCell - 0.5;
    vec2 i = floor(p);
    at = i + 0.5 + clamp((p - i - 0.5) * uView.x + 0.5, 0.0, 1.0);
  }
  vec3 rgb = texture(uPicture, at / 256.0).rgb;
  if (uTile.x > 0.0) {
    float changed = texelFetch(uChanged, uTile.z > 0.5 ? ivec2(0) : clamp(ivec2(floor(vCell)), ivec2(0), ivec2(255)), 0).r * uTile.x;
    vec3 glow = uView.z > 0.5 ? vec3(0.9, 0.32, 0.0) : vec3(1.0, 0.86, 0.5);
    rgb = mix(rgb, glow, changed);
  }
  finalColor = vec4(rgb * uTile.y, uTile.y);
}
`;
